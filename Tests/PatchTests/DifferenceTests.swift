import Checkpoints
import SampleModels
import Tensors
import TestSupport
import Testing

/// What leads from some bytes to others leads back, for every kind of bytes, and a stream that somebody has made up does no
/// harm.
@Suite struct DifferenceTests {
    private static let kinds: [PatchKind] = [
        .codes(.nf4), .codes(.fp4), .numbers(width: 1), .numbers(width: 2), .numbers(width: 4), .numbers(width: 8),
        .quantState,
    ]

    /// The target of a base: about one byte in `rarity` is another.
    private func changed(_ base: [UInt8], rarity: Int, _ generator: inout SeededGenerator) -> [UInt8] {
        base.map { byte in
            guard generator.below(rarity) == 0 else { return byte }
            switch generator.below(3) {
            case 0: return byte &+ 1
            case 1: return byte &- 16
            default: return UInt8(generator.below(256))
            }
        }
    }

    private func decode(
        _ stream: [UInt8], _ kind: PatchKind, _ presence: PatchPresence, _ result: PatchSide, from bytes: [UInt8]
    ) -> [UInt8]? {
        var bytes = bytes
        let isWhole = stream.withUnsafeBytes { stream in
            bytes.withUnsafeMutableBytes {
                PatchDifference.decode(stream, kind: kind, presence: presence, result: result, into: $0)
            }
        }
        return isWhole ? bytes : nil
    }

    @Test(arguments: kinds)
    func leadsThereAndBack(kind: PatchKind) {
        var generator = SeededGenerator(seed: 3)
        for size in [0, 1, 2, 7, 8, 9, 63, 64, 65, 500, 4097, 70_000] {
            for rarity in [1, 2, 10, 100, 3000, .max] {
                let width = if case .numbers(let width) = kind { width } else { 1 }
                let base = generator.bytes(size / width * width)
                let target = rarity == .max ? base : changed(base, rarity: rarity, &generator)
                let stream = base.withUnsafeBytes { base in
                    target.withUnsafeBytes { PatchDifference.encode(base: base, target: $0, kind: kind) }
                }
                #expect(stream.isEmpty == (base == target))
                #expect(decode(stream, kind, .both, .target, from: base) == target)
                #expect(decode(stream, kind, .both, .base, from: target) == base)
                // Not much more than the bytes themselves, however different they are.
                #expect(stream.count <= target.count + 64)
            }
        }
    }

    @Test(arguments: kinds)
    func oneSideAloneIsHeldWhole(kind: PatchKind) {
        var generator = SeededGenerator(seed: 4)
        for size in [0, 8, 64, 5000] {
            let bytes = generator.bytes(size)
            let added = bytes.withUnsafeBytes { PatchDifference.encode(base: nil, target: $0, kind: kind) }
            let removed = bytes.withUnsafeBytes { PatchDifference.encode(base: $0, target: nil, kind: kind) }
            let empty = [UInt8](repeating: 0, count: size)
            #expect(decode(added, kind, .targetOnly, .target, from: empty) == bytes)
            #expect(decode(removed, kind, .baseOnly, .base, from: empty) == bytes)
        }
    }

    /// A code that moves by one level costs less than its entropy by a byte would: the reason for a format of our own.
    @Test(arguments: QuantType.allCases)
    func neighbouringLevelsAreCheap(quantType: QuantType) {
        let ascending: [UInt8] =
            quantType == .nf4 ? Array(0..<16) : [11, 10, 13, 12, 15, 14, 9, 8, 0, 1, 6, 7, 4, 5, 2, 3]
        var generator = SeededGenerator(seed: 5)
        func neighbour(_ code: UInt8) -> UInt8 {
            guard generator.below(12) == 0, let rank = ascending.firstIndex(of: code) else { return code }
            return ascending[(rank + (generator.below(2) == 0 ? 1 : 15)) % 16]
        }
        let base = generator.bytes(1 << 18)
        let target = base.map { neighbour($0 >> 4) << 4 | neighbour($0 & 15) }
        let stream = base.withUnsafeBytes { base in
            target.withUnsafeBytes { PatchDifference.encode(base: base, target: $0, kind: .codes(quantType)) }
        }
        // The entropy of a choice of 1 in 12 and a sign is 0.497 bits; 1 % more for Huffman's whole bits.
        let bitsACode = Double(stream.count) * 8 / Double(2 * base.count)
        #expect(bitsACode < 0.505)
    }

    @Test func madeUpStreamsDoNoHarm() {
        var generator = SeededGenerator(seed: 6)
        var refused = 0
        for _ in 0..<20_000 {
            let kind = DifferenceTests.kinds[generator.below(DifferenceTests.kinds.count)]
            var stream = generator.bytes(generator.below(40) + 1)
            stream[0] = UInt8(generator.below(7))
            let presence = [PatchPresence.both, .baseOnly, .targetOnly][generator.below(3)]
            // Red zones around the bytes show writes past them.
            var memory = [UInt8](repeating: 0xA5, count: 32 + 64 + 32)
            let size = generator.below(65)
            let isWhole = stream.withUnsafeBytes { stream in
                memory.withUnsafeMutableBytes {
                    PatchDifference.decode(
                        stream, kind: kind, presence: presence, result: .target,
                        into: UnsafeMutableRawBufferPointer(rebasing: $0[32..<32 + size]))
                }
            }
            if !isWhole { refused += 1 }
            #expect(memory[..<32].allSatisfy { $0 == 0xA5 } && memory[(32 + size)...].allSatisfy { $0 == 0xA5 })
        }
        #expect(refused > 10_000)
    }

    /// Symbols that lead past the last code, one by one.
    @Test func movesPastTheEndAreRefused() {
        let codes = [UInt8](repeating: 0x77, count: 4)
        func moved(_ symbols: [UInt8]) -> [UInt8]? {
            decode([4, UInt8(symbols.count)] + symbols, .codes(.nf4), .both, .target, from: codes)
        }
        #expect(moved([14]) == [0x77, 0x77, 0x77, 0x78])
        #expect(moved([16]) == nil)
        #expect(moved([243]) == codes)
        #expect(moved([243, 0]) == nil)
        #expect(moved([255]) == nil)
        #expect(moved([224, 225, 236]) == [0x9A, 0x57, 0x77, 0x77])
        #expect(moved([237]) == nil)
        #expect(moved([]) == codes)
    }
}
