import Quantization
import Tensors

/// A matrix in NF4 with double quantization, as bitsandbytes' `quantize_4bit(compress_statistics=True)` makes it.
final class QuantizedMatrix: @unchecked Sendable {
    let count: Int
    let codes: Buffer<UInt8>
    let scaleCodes: Buffer<UInt8>
    let nestedScales: Buffer<Float>
    /// Scales in float32.
    let scales: Buffer<Float>
    private(set) var offset: Float = 0
    private let scaleSums: Buffer<Double>

    var blockCount: Int { scales.count }

    init(count: Int) {
        self.count = count
        let blocks = (count + Workspace.blocksize - 1) / Workspace.blocksize
        codes = Buffer((count + 1) / 2)
        scaleCodes = Buffer(blocks)
        nestedScales = Buffer((blocks + 255) / 256)
        scales = Buffer(blocks)
        scaleSums = Buffer((count + chunkElements - 1) / chunkElements)
    }

    /// Absmax, codes, the mean of the scales, and the scales' own codes.
    ///
    /// - Parameter values: Answers the float32 values of a range, for which it may use the scratch memory.
    func quantize(
        threads: Int, rounding: RoundingRule = .nearest,
        values: @escaping @Sendable (Range<Int>, Scratch) -> UnsafePointer<Float>
    ) {
        forEachChunk(of: count, threads: threads) { [self] range, scratch in
            let values = values(range, scratch)
            let firstBlock = range.lowerBound / Workspace.blocksize
            let scales = scales.pointer + firstBlock
            BlockQuantizer.absmax(values, count: range.count, blocksize: Workspace.blocksize, into: scales)
            BlockQuantizer.quantize(
                values, absmax: scales, count: range.count, blocksize: Workspace.blocksize,
                quantType: Workspace.quantType, rounding: rounding, firstIndex: UInt64(range.lowerBound),
                into: codes.pointer + range.lowerBound / 2)
            var sum = 0.0
            for block in 0..<(range.count + Workspace.blocksize - 1) / Workspace.blocksize {
                sum += Double(scales[block])
            }
            scaleSums.pointer[range.lowerBound / chunkElements] = sum
        }
        let sum = (0..<scaleSums.count).reduce(0) { $0 + scaleSums.pointer[$1] }
        let offset = Float(sum / Double(blockCount))
        self.offset = offset
        forEachChunk(of: blockCount, threads: threads) { [scales, scaleCodes, nestedScales] range, _ in
            DoubleQuantizer.quantize(
                scales.pointer + range.lowerBound, count: range.count, offset: offset,
                into: scaleCodes.pointer + range.lowerBound,
                nestedAbsmax: nestedScales.pointer + range.lowerBound / DoubleQuantization.standardBlocksize)
        }
    }

    /// Decodes a range to float32.
    ///
    /// - Parameter values: Room for the range; `scales` for the scales of its blocks.
    func dequantize(_ range: Range<Int>, into values: UnsafeMutablePointer<Float>) {
        let first = range.lowerBound / Workspace.blocksize
        let count = (range.count + Workspace.blocksize - 1) / Workspace.blocksize
        withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { scales in
            guard let scales = scales.baseAddress else { return }
            decodeScales(first..<first + count, into: scales)
            BlockQuantizer.dequantize(
                codes.pointer + range.lowerBound / 2, absmax: scales, count: range.count,
                blocksize: Workspace.blocksize,
                quantType: Workspace.quantType, into: values)
        }
    }

    /// Decodes the scales of some blocks, from a nested block's start on.
    func decodeScales(_ blocks: Range<Int>, into scales: UnsafeMutablePointer<Float>) {
        DoubleQuantizer.dequantize(
            scaleCodes.pointer + blocks.lowerBound,
            nestedAbsmax: nestedScales.pointer + blocks.lowerBound / DoubleQuantization.standardBlocksize,
            count: blocks.count, blocksize: DoubleQuantization.standardBlocksize, offset: offset, codebook: nil,
            into: scales)
    }
}
