import DeflateKernels

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// A deflate encoder (RFC 1951) that codes bytes and looks for no repetitions: quantized weights have none.
///
/// zlib's own Huffman-only strategy must start a new block, with a new code of 100 bytes and more, every 32 K symbols. This
/// one starts a block where the bytes change enough to pay for it: the input is cut into cells, and neighbouring cells
/// share a block unless codes of their own would be shorter. Any inflate reads the result.
package struct HuffmanDeflate {
    private struct Block {
        let range: Range<Int>
        let header: DeflateBlockHeader
        let codes: [UInt32]
        let endOfBlock: (word: UInt32, bits: Int)
    }

    /// Four codes must fit into 64 bits beside 7 bits that wait.
    private static let longestCode = 14
    private static let endOfBlock = 256

    private let blocks: [Block]
    /// The exact size of the encoded bytes.
    package let byteCount: Int

    /// Finds blocks and codes for some bytes.
    ///
    /// - Parameter cells: How many cells the bytes are cut into at most; the time to decide grows with its square.
    package init(planning bytes: UnsafeRawBufferPointer, cells maximumCells: Int = 16) {
        let cellCount = max(1, min(maximumCells, bytes.count / HuffmanDeflate.smallestCell))
        let bounds = (0...cellCount).map { bytes.count * $0 / cellCount }
        // Counts from the start up to each bound: a difference of two is the counts of a range of cells.
        var countsBefore = [[UInt32](repeating: 0, count: 256)]
        for cell in 0..<cellCount {
            var counts = countsBefore[cell]
            let range = UnsafeRawBufferPointer(rebasing: bytes[bounds[cell]..<bounds[cell + 1]])
            deflate_count_bytes(range.bytePointer, range.count, &counts)
            countsBefore.append(counts)
        }
        let cuts = HuffmanDeflate.cheapestCuts(countsBefore)
        var blocks: [Block] = []
        var bitCount = 0
        for (start, end) in zip(cuts, cuts.dropFirst()) {
            let counts = zip(countsBefore[end], countsBefore[start]).map { $0 - $1 } + [1]
            let code = HuffmanCode(counts: counts, limit: HuffmanDeflate.longestCode)
            let header = DeflateBlockHeader(literals: code, isLast: end == cellCount)
            let words = code.reversedCodes()
            bitCount += header.bitCount + code.bitCount(counts)
            blocks.append(
                Block(
                    range: bounds[start]..<bounds[end], header: header,
                    codes: (0..<256).map { words[$0] << 8 | UInt32(code.lengths[$0]) },
                    endOfBlock: (words[HuffmanDeflate.endOfBlock], Int(code.lengths[HuffmanDeflate.endOfBlock]))))
        }
        self.blocks = blocks
        byteCount = (bitCount + 7) / 8
    }

    private static let smallestCell = 2048

    /// The bytes that were planned, deflated.
    package func encode(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        // The packing loop writes words of 8 bytes of which it then keeps what is filled.
        [UInt8](unsafeUninitializedCapacity: byteCount + 8) { out, written in
            guard let start = out.baseAddress else { return }
            var position = start
            var pending = deflate_bits(bits: 0, count: 0)
            func put(_ value: UInt32, _ bits: Int) {
                pending.bits |= UInt64(value) << UInt64(pending.count)
                pending.count += UInt32(bits)
                while pending.count >= 8 {
                    position.pointee = UInt8(truncatingIfNeeded: pending.bits)
                    position += 1
                    pending.bits >>= 8
                    pending.count -= 8
                }
            }
            for block in blocks {
                for field in block.header.fields { put(field.value, field.bits) }
                let range = UnsafeRawBufferPointer(rebasing: bytes[block.range])
                position += deflate_pack(range.bytePointer, range.count, block.codes, &pending, position)
                put(block.endOfBlock.word, block.endOfBlock.bits)
            }
            if pending.count > 0 { put(0, 8 - Int(pending.count)) }
            written = position - start
        }
    }

    // MARK: - Codes and blocks

    /// Where blocks start and end, as indices of bounds of cells, so that the sum of their estimated sizes is smallest.
    private static func cheapestCuts(_ countsBefore: [[UInt32]]) -> [Int] {
        let cellCount = countsBefore.count - 1
        guard cellCount > 1 else { return [0, cellCount] }
        var cost = [0.0]
        var previous = [0]
        for end in 1...cellCount {
            let options = (0..<end).map { cost[$0] + estimatedBits(countsBefore[$0], countsBefore[end]) }
            let cheapest = options.indices.min { options[$0] < options[$1] } ?? 0
            cost.append(options[cheapest])
            previous.append(cheapest)
        }
        var cuts = [cellCount]
        while let cut = cuts.last, cut > 0 { cuts.append(previous[cut]) }
        return cuts.reversed()
    }

    /// About how many bits a block with these bytes takes: their entropy, and a header of some 2 bits a symbol.
    private static func estimatedBits(_ before: [UInt32], _ through: [UInt32]) -> Double {
        var total = 0.0
        var weighted: Float = 0
        var symbols = 0
        for value in 0..<256 {
            let count = through[value] - before[value]
            guard count > 0 else { continue }
            symbols += 1
            total += Double(count)
            weighted += Float(count) * log2(Float(count))
        }
        guard total > 0 else { return 0 }
        return total * log2(total) - Double(weighted) + 60 + 2 * Double(symbols)
    }
}

extension UnsafeRawBufferPointer {
    /// The bytes for C; of an empty buffer, which may have no address, a pointer that is never followed.
    var bytePointer: UnsafePointer<UInt8>? { bindMemory(to: UInt8.self).baseAddress }
}
