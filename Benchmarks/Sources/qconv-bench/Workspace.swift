import Quantization
import Tensors

/// One matrix in memory in all the forms that operations start from, and room for what they make.
final class Workspace: Sendable {
    static let blocksize = 64
    static let quantType = QuantType.nf4
    /// Scratch memory of each thread.
    static let scratch = (0..<64).map { _ in Scratch() }

    let rows: Int
    let columns: Int
    var count: Int { rows * columns }
    var blockCount: Int { (count + Workspace.blocksize - 1) / Workspace.blocksize }

    let float32: Buffer<Float>
    let bfloat16: Buffer<UInt16>
    let float16: Buffer<UInt16>
    let float8: Buffer<UInt8>
    /// The matrix in NF4 with double quantization.
    let nf4: QuantizedMatrix
    /// Updates by rank.
    let updates: [Int: LowRankUpdate]

    /// Where results go; as large as float32.
    let output: Buffer<Float>
    let quantizedOutput: QuantizedMatrix

    init(rows: Int, columns: Int) {
        self.rows = rows
        self.columns = columns
        let count = rows * columns
        float32 = Buffer(count)
        bfloat16 = Buffer(count)
        float16 = Buffer(count)
        float8 = Buffer(count)
        output = Buffer(count)
        nf4 = QuantizedMatrix(count: count)
        quantizedOutput = QuantizedMatrix(count: count)
        var random = HeavyTailedRandom(seed: 1)
        for index in 0..<count { float32.pointer[index] = random.next() * 0.02 }
        updates = Dictionary(
            uniqueKeysWithValues: [16, 64].map { rank in
                let left = (0..<rows * rank).map { _ in random.next() * 0.01 }
                let right = (0..<rank * columns).map { _ in random.next() * 0.01 }
                return (
                    rank,
                    LowRankUpdate(left: left, right: right, rows: rows, columns: columns, rank: rank, scaling: 2)
                )
            })
        FloatConversion.encode(float32.pointer, count: count, as: .bf16, into: bfloat16.pointer)
        FloatConversion.encode(float32.pointer, count: count, as: .f16, into: float16.pointer)
        FloatConversion.encode(float32.pointer, count: count, as: .f8e4m3, into: float8.pointer)
        nf4.quantize(threads: 1) { [float32] range, _ in UnsafePointer(float32.pointer + range.lowerBound) }
        output.pointer.update(repeating: 0, count: count)
        quantizedOutput.quantize(threads: 1) { [float32] range, _ in UnsafePointer(float32.pointer + range.lowerBound) }
    }
}
