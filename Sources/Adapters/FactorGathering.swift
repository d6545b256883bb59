import Checkpoints
import SystemPackage
import Tensors

/// Takes the factors of one tensor's update out of a module's lora_A and lora_B, widened to float32.
///
/// PEFT puts the factors of several experts side by side: lora_A [experts · r, in] has those of an expert in consecutive
/// rows, lora_B [out, r · experts] has them in every `experts`-th column (`ParamWrapper.get_delta_weight`). Files are
/// read in pieces: beside the factors themselves next to nothing is in memory.
struct FactorGathering {
    /// Bytes of a factor tensor that are in memory at a time, unless a row has more.
    private static let pieceBytes = 1 << 18

    let weights: any CheckpointReader
    /// The file that messages name.
    let file: FilePath

    /// The factors as the tensor's rows and columns want them.
    ///
    /// - Parameters:
    ///   - a: Index of lora_A, [experts · r, …]; what follows the first dimension counts as one.
    ///   - b: Index of lora_B, [out, r · experts, …].
    /// - Throws: ``AdapterError/nonFinite(file:tensor:index:)``; ``Tensors/FileError`` when the file cannot be read.
    func factors(a: Int, b: Int, placement: FactorPlacement) throws -> LowRankFactors {
        let layout = placement.layout
        let (rank, experts) = (placement.rank, layout.experts)
        let inFeatures = weights.tensors[a].shape.dropFirst().reduce(1, *)
        let outFeatures = weights.tensors[b].shape[0]
        // A's part is [experts, r, in]; B's is read as [out, r · experts] and taken as [experts, out, r].
        let product = LowRankFactors(
            blocks: experts.count, rows: outFeatures, columns: inFeatures, rank: rank,
            left: try columns(of: experts, count: layout.expertCount, rank: rank, ofTensor: b),
            right: try values(ofTensor: a, rows: experts.lowerBound * rank..<experts.upperBound * rank),
            scaling: placement.scaling)
        let factors = layout.isTransposed ? product.transposed : product
        if case .expert(_, _, _, let rows) = layout { return factors.taking(rows) }
        return factors
    }

    /// All values of a tensor.
    func values(ofTensor index: Int) throws -> [Float] {
        let shape = weights.tensors[index].shape
        return try values(ofTensor: index, rows: 0..<(shape.first ?? 1))
    }

    private func values(ofTensor index: Int, rows: Range<Int>) throws -> [Float] {
        let width = weights.tensors[index].shape.dropFirst().reduce(1, *)
        return try [Float](unsafeUninitializedCapacity: rows.count * width) { values, count in
            try forEachPiece(ofTensor: index, rows: rows) { _, piece in
                piece.widen(into: values[count...])
                count += piece.count
            }
        }
    }

    /// The columns of some experts, as [experts, rows, r].
    private func columns(of experts: Range<Int>, count expertCount: Int, rank: Int, ofTensor index: Int) throws
        -> [Float]
    {
        guard expertCount > 1 else { return try values(ofTensor: index) }
        let rows = weights.tensors[index].shape[0]
        var values = [Float](repeating: 0, count: experts.count * rows * rank)
        try forEachPiece(ofTensor: index, rows: 0..<rows) { firstRow, piece in
            let width = rank * expertCount
            for row in 0..<piece.count / width {
                for expert in experts {
                    let place = ((expert - experts.lowerBound) * rows + firstRow + row) * rank
                    for k in 0..<rank { values[place + k] = piece[row * width + k * expertCount + expert] }
                }
            }
        }
        return values
    }

    /// Hands out the values of rows, some rows at a time.
    private func forEachPiece(
        ofTensor index: Int, rows: Range<Int>, _ body: (_ firstRow: Int, PieceOfFactor) throws -> Void
    ) throws {
        let tensor = weights.tensors[index]
        let dtype = tensor.encoding.denseDType ?? .f32
        let width = tensor.shape.dropFirst().reduce(1, *)
        let rowBytes = width * (dtype.bits / 8)
        let height = max(1, FactorGathering.pieceBytes / max(rowBytes, 1))
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: height * rowBytes, alignment: 16)
        defer { bytes.deallocate() }
        for first in stride(from: rows.lowerBound, to: rows.upperBound, by: height) {
            let count = min(height, rows.upperBound - first)
            let part = UnsafeMutableRawBufferPointer(rebasing: bytes[..<(count * rowBytes)])
            try weights.read(.values, ofTensor: index, at: first * rowBytes, into: part)
            let piece = PieceOfFactor(bytes: UnsafeRawBufferPointer(part), dtype: dtype)
            if !piece.isFinite, let bad = piece.firstIndex(where: { !$0.isFinite }) {
                throw AdapterError.nonFinite(file: file, tensor: tensor.name, index: first * width + bad)
            }
            try body(first, piece)
        }
    }
}

extension LowRankFactors {
    /// The factors of some rows of each block.
    fileprivate func taking(_ part: Range<Int>) -> LowRankFactors {
        guard part.count < rows else { return self }
        let taken = (0..<blocks).flatMap { block in
            left[(block * rows + part.lowerBound) * rank..<(block * rows + part.upperBound) * rank]
        }
        return LowRankFactors(
            blocks: blocks, rows: part.count, columns: columns, rank: rank, left: taken, right: right, scaling: scaling)
    }
}

/// Consecutive values of a factor as they are stored, read as float32. Every value of the 16-bit types is a float32.
private struct PieceOfFactor: RandomAccessCollection {
    let bytes: UnsafeRawBufferPointer
    let dtype: DType

    var startIndex: Int { 0 }
    var endIndex: Int { bytes.count / (dtype.bits / 8) }

    subscript(index: Int) -> Float {
        switch dtype {
        case .f16: widenHalf(load(index))
        case .bf16: Float(bitPattern: UInt32(load(index) as UInt16) << 16)
        default: Float(bitPattern: load(index))
        }
    }

    /// Whether all values are finite.
    var isFinite: Bool {
        // An exponent of ones is an infinity or NaN. Nothing in the loops depends on a value, so that they are short.
        switch dtype {
        case .f16: !hasBits(0x7C00 as UInt16)
        case .bf16: !hasBits(0x7F80 as UInt16)
        default: !hasBits(0x7F80_0000 as UInt32)
        }
    }

    private func hasBits<Bits: FixedWidthInteger>(_ exponent: Bits) -> Bool {
        var found = false
        for index in 0..<count { found = found || (load(index) as Bits) & exponent == exponent }
        return found
    }

    /// Writes all values to memory that holds none yet.
    func widen(into values: Slice<UnsafeMutableBufferPointer<Float>>) {
        let values = UnsafeMutableBufferPointer(rebasing: values)
        switch dtype {
        case .f16: initialize(values) { (bits: UInt16) in widenHalf(bits) }
        case .bf16: initialize(values) { (bits: UInt16) in Float(bitPattern: UInt32(bits) << 16) }
        default: initialize(values) { (bits: UInt32) in Float(bitPattern: bits) }
        }
    }

    @inline(__always)
    private func initialize<Bits: FixedWidthInteger>(
        _ values: UnsafeMutableBufferPointer<Float>, _ value: (Bits) -> Float
    ) {
        for index in 0..<count { values.initializeElement(at: index, to: value(load(index))) }
    }

    private func load<Bits: FixedWidthInteger>(_ index: Int) -> Bits {
        Bits(littleEndian: bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<Bits>.size, as: Bits.self))
    }
}

/// The value of an IEEE half. Swift's `Float16` does not exist on Intel Macs.
private func widenHalf(_ bits: UInt16) -> Float {
    let sign = UInt32(bits & 0x8000) << 16
    let magnitude = UInt32(bits & 0x7FFF)
    if magnitude >= 0x7C00 { return Float(bitPattern: sign | 0x7F80_0000 | magnitude << 13) }
    // In the place of a float32's exponent and fraction the exponent is too small by 127 − 15, also for subnormals.
    return Float(bitPattern: sign | magnitude << 13) * 0x1p112
}
