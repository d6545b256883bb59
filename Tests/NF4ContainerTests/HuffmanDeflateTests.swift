import Checkpoints
import SampleModels
import TestSupport
import Testing

@Suite struct HuffmanDeflateTests {
    /// Byte sources of very different shapes; each takes a generator and a position.
    static let distributions: [(name: String, byte: @Sendable (inout SeededGenerator, Int) -> UInt8)] = [
        ("one symbol", { _, _ in 200 }),
        ("two symbols", { generator, _ in generator.below(5) == 0 ? 255 : 0 }),
        ("uniform", { generator, _ in UInt8(truncatingIfNeeded: generator.next()) }),
        ("uniform over 16", { generator, _ in UInt8(generator.below(16)) }),
        ("geometric", { generator, _ in UInt8(clamping: generator.next().trailingZeroBitCount) }),
        ("Gaussian", { generator, _ in UInt8((0..<8).reduce(0) { sum, _ in sum + generator.below(32) }) }),
        ("drifting", { generator, position in UInt8(truncatingIfNeeded: position >> 13 + generator.below(4)) }),
        ("rare", { generator, position in position % 997 == 0 ? UInt8(truncatingIfNeeded: generator.next()) : 7 }),
    ]

    @Test(arguments: 0..<distributions.count)
    func zlibInflatesWhatWeDeflate(distribution: Int) {
        var generator = SeededGenerator(seed: UInt64(distribution))
        for count in [0, 1, 2, 3, 4, 5, 7, 8, 9, 100, 257, 4095, 4096, 30_000, 131_072] {
            let bytes = (0..<count).map { HuffmanDeflateTests.distributions[distribution].byte(&generator, $0) }
            for cells in [1, 2, 12, 31] { check(bytes, cells: cells) }
        }
    }

    private func check(_ bytes: [UInt8], cells: Int) {
        bytes.withUnsafeBytes { input in
            let plan = HuffmanDeflate(planning: input, cells: cells)
            let encoded = plan.encode(input)
            #expect(encoded.count == plan.byteCount)
            #expect(inflate(encoded, to: bytes.count) == bytes)
        }
    }

    /// Fibonacci numbers of occurrences make the deepest Huffman trees: the limit of 14 bits binds.
    @Test func codesAreLimitedInLength() throws {
        var counts: [UInt32] = [1, 1]
        while counts.count < 30 { counts.append(counts[counts.count - 1] + counts[counts.count - 2]) }
        let code = HuffmanCode(counts: counts, limit: 14)
        #expect(code.lengths.max() == 14)
        #expect(kraftSum(code) == 1)
        var bytes: [UInt8] = []
        for (symbol, count) in counts.prefix(20).enumerated() {
            bytes += [UInt8](repeating: UInt8(symbol), count: Int(count))
        }
        check(bytes, cells: 1)
    }

    @Test func unlimitedCodesAreHuffmans() {
        var generator = SeededGenerator(seed: 3)
        for symbols in [2, 3, 10, 100, 257] {
            let counts = (0..<symbols).map { _ in UInt32(generator.below(1000) + 1) }
            let code = HuffmanCode(counts: counts, limit: 15)
            #expect(kraftSum(code) == 1)
            #expect(code.bitCount(counts) == huffmanCost(counts))
        }
    }

    /// No cut of the input can be worse than the single block, except by the estimate's error.
    @Test func blocksPay() {
        var generator = SeededGenerator(seed: 9)
        let drifting = (0..<100_000).map { HuffmanDeflateTests.distributions[6].byte(&generator, $0) }
        drifting.withUnsafeBytes { bytes in
            let one = HuffmanDeflate(planning: bytes, cells: 1).byteCount
            let several = HuffmanDeflate(planning: bytes, cells: 12).byteCount
            #expect(several < one * 8 / 10)
        }
    }

    @Test func inflateIsBounded() {
        let bytes = [UInt8](repeating: 1, count: 1000)
        let encoded = bytes.withUnsafeBytes { HuffmanDeflate(planning: $0).encode($0) }
        #expect(inflate(encoded, to: 999) == nil)
        #expect(inflate(encoded, to: 1001) == nil)
        #expect(inflate(encoded + [0], to: 1000) == nil)
        #expect(inflate(encoded.dropLast(), to: 1000) == nil)
        #expect(inflate([], to: 0) == nil)
    }

    private func kraftSum(_ code: HuffmanCode) -> Double {
        code.lengths.reduce(0) { $1 > 0 ? $0 + 1 / Double(1 << Int($1)) : $0 }
    }

    /// The cost of an optimal code: the sum of all inner nodes of Huffman's tree.
    private func huffmanCost(_ counts: [UInt32]) -> Int {
        var nodes = counts.map(Int.init)
        var cost = 0
        while nodes.count > 1 {
            nodes.sort(by: >)
            let sum = nodes.removeLast() + nodes.removeLast()
            cost += sum
            nodes.append(sum)
        }
        return cost
    }

    private func inflate(_ bytes: some Sequence<UInt8>, to count: Int) -> [UInt8]? {
        var output = [UInt8](repeating: 0xAA, count: count)
        let input = Array(bytes)
        let isWhole = input.withUnsafeBytes { input in output.withUnsafeMutableBytes { Zlib.inflate(input, into: $0) } }
        return isWhole ? output : nil
    }
}
