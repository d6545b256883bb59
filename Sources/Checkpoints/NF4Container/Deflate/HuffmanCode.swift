/// A canonical prefix code with a limit on the length of its codes, as deflate uses them (RFC 1951, 3.2.2).
package struct HuffmanCode: Hashable, Sendable {
    /// The length of each symbol's code in bits; 0 for symbols that do not occur.
    package let lengths: [UInt8]

    /// The best code for these numbers of occurrences with no code longer than `limit` bits.
    ///
    /// Package-merge (Larmore and Hirschberg 1990), over symbols sorted by count. A single symbol gets a code of one bit.
    ///
    /// - Precondition: 2 to the power of `limit` is at least the number of symbols that occur.
    package init(counts: [UInt32], limit: Int) {
        var lengths = [UInt8](repeating: 0, count: counts.count)
        let symbols = counts.indices.filter { counts[$0] > 0 }.sorted { (counts[$0], $0) < (counts[$1], $1) }
        guard symbols.count > 1 else {
            if let only = symbols.first { lengths[only] = 1 }
            self.lengths = lengths
            return
        }
        let leaves = symbols.map { UInt64(counts[$0]) }
        // One list a bit of length, cheapest first: the leaves, merged with pairs of neighbours of the list before.
        var weights = leaves
        var leavesAmong = [[Bool](repeating: true, count: leaves.count)]
        for _ in 1..<limit {
            let (merged, isLeaf) = HuffmanCode.merge(leaves, pairsOf: weights)
            weights = merged
            leavesAmong.append(isLeaf)
        }
        // The cheapest 2n − 2 items of the last list make the code; every leaf among them, and inside the pairs among
        // them, is one bit of that leaf's length.
        var taken = 2 * leaves.count - 2
        for isLeaf in leavesAmong.reversed() {
            let leafCount = isLeaf.prefix(taken).count { $0 }
            for symbol in symbols.prefix(leafCount) { lengths[symbol] += 1 }
            taken = 2 * (taken - leafCount)
        }
        self.lengths = lengths
    }

    private static func merge(_ leaves: [UInt64], pairsOf previous: [UInt64]) -> (weights: [UInt64], isLeaf: [Bool]) {
        let pairCount = previous.count / 2
        var weights: [UInt64] = []
        var isLeaf: [Bool] = []
        weights.reserveCapacity(leaves.count + pairCount)
        isLeaf.reserveCapacity(leaves.count + pairCount)
        var leaf = 0
        var pair = 0
        while leaf < leaves.count || pair < pairCount {
            let pairWeight = pair < pairCount ? previous[2 * pair] + previous[2 * pair + 1] : .max
            if leaf < leaves.count, leaves[leaf] <= pairWeight {
                weights.append(leaves[leaf])
                isLeaf.append(true)
                leaf += 1
            } else {
                weights.append(pairWeight)
                isLeaf.append(false)
                pair += 1
            }
        }
        return (weights, isLeaf)
    }

    /// The code words, first bit lowest, as deflate packs them.
    package func reversedCodes() -> [UInt32] {
        var countOfLength = [UInt32](repeating: 0, count: 17)
        for length in lengths where length > 0 { countOfLength[Int(length)] += 1 }
        var next = [UInt32](repeating: 0, count: 17)
        for length in 1...16 { next[length] = (next[length - 1] + countOfLength[length - 1]) << 1 }
        return lengths.map { length in
            guard length > 0 else { return 0 }
            defer { next[Int(length)] += 1 }
            return HuffmanCode.reversed(next[Int(length)], bits: Int(length))
        }
    }

    private static func reversed(_ code: UInt32, bits: Int) -> UInt32 {
        var reversed: UInt32 = 0
        for bit in 0..<bits { reversed |= (code >> bit & 1) << (bits - 1 - bit) }
        return reversed
    }

    /// The bits that symbols with these numbers of occurrences take.
    package func bitCount(_ counts: [UInt32]) -> Int {
        zip(counts, lengths).reduce(0) { $0 + Int($1.0) * Int($1.1) }
    }
}
