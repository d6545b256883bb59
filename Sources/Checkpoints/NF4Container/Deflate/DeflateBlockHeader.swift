/// The start of a deflate block with Huffman codes of its own (RFC 1951, 3.2.7): the codes' lengths, run-length coded and
/// Huffman coded themselves.
struct DeflateBlockHeader {
    /// Values and their numbers of bits, in the order in which they are packed.
    private(set) var fields: [(value: UInt32, bits: Int)]

    var bitCount: Int { fields.reduce(0) { $0 + $1.bits } }

    /// - Parameter literals: The code of the bytes and of the end of the block, 257 symbols. There are no matches, so the
    ///   code of distances is empty: one length of 0.
    init(literals: HuffmanCode, isLast: Bool) {
        let runs = DeflateBlockHeader.runs(literals.lengths + [0])
        var counts = [UInt32](repeating: 0, count: 19)
        for run in runs { counts[run.symbol] += 1 }
        // A code of lengths must be complete, so it needs two symbols.
        if counts.count(where: { $0 > 0 }) == 1 { counts[counts[0] > 0 ? 18 : 0] = 1 }
        let code = HuffmanCode(counts: counts, limit: 7)
        let words = code.reversedCodes()
        let order = DeflateBlockHeader.codeLengthOrder
        let used = max(4, (order.lastIndex { code.lengths[$0] > 0 } ?? 0) + 1)
        fields = [
            (isLast ? 1 : 0, 1), (2, 2),  // the last block; with codes of its own
            (UInt32(literals.lengths.count - 257), 5), (0, 5), (UInt32(used - 4), 4),
        ]
        for symbol in order.prefix(used) { fields.append((UInt32(code.lengths[symbol]), 3)) }
        for run in runs {
            fields.append((words[run.symbol], Int(code.lengths[run.symbol])))
            if run.extraBits > 0 { fields.append((run.extra, run.extraBits)) }
        }
    }

    /// The order in which deflate stores the lengths of the code of lengths.
    private static let codeLengthOrder = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]

    private struct Run {
        let symbol: Int
        var extra: UInt32 = 0
        var extraBits = 0
    }

    /// Symbol 16 repeats the length before it 3 to 6 times, 17 stands for 3 to 10 zeros, 18 for 11 to 138 zeros.
    private static func runs(_ lengths: [UInt8]) -> [Run] {
        var runs: [Run] = []
        var position = 0
        while position < lengths.count {
            let length = lengths[position]
            var end = position + 1
            while end < lengths.count, lengths[end] == length { end += 1 }
            var remaining = end - position
            position = end
            if length == 0 {
                while remaining >= 11 {
                    let count = min(remaining, 138)
                    runs.append(Run(symbol: 18, extra: UInt32(count - 11), extraBits: 7))
                    remaining -= count
                }
                if remaining >= 3 {
                    runs.append(Run(symbol: 17, extra: UInt32(remaining - 3), extraBits: 3))
                    remaining = 0
                }
            } else {
                runs.append(Run(symbol: Int(length)))
                remaining -= 1
                while remaining >= 3 {
                    // A rest of 1 or 2 would have to be spelled out.
                    let count = remaining == 7 || remaining == 8 ? remaining - 3 : min(remaining, 6)
                    runs.append(Run(symbol: 16, extra: UInt32(count - 3), extraBits: 2))
                    remaining -= count
                }
            }
            for _ in 0..<remaining { runs.append(Run(symbol: Int(length))) }
        }
        return runs
    }
}
