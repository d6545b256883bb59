import Checkpoints
import Quantization
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
                _ = values[count...].initialize(fromContentsOf: piece)
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
        ofTensor index: Int, rows: Range<Int>,
        _ body: (_ firstRow: Int, _ values: UnsafeBufferPointer<Float>) throws -> Void
    ) throws {
        let tensor = weights.tensors[index]
        let dtype = tensor.encoding.denseDType ?? .f32
        let width = tensor.shape.dropFirst().reduce(1, *)
        let rowBytes = width * (dtype.bits / 8)
        let height = max(1, FactorGathering.pieceBytes / max(rowBytes, 1))
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: height * rowBytes, alignment: 16)
        defer { bytes.deallocate() }
        let floats = UnsafeMutableBufferPointer<Float>.allocate(capacity: height * width)
        defer { floats.deallocate() }
        for first in stride(from: rows.lowerBound, to: rows.upperBound, by: height) {
            let count = min(height, rows.upperBound - first)
            let part = UnsafeMutableRawBufferPointer(rebasing: bytes[..<(count * rowBytes)])
            try weights.read(.values, ofTensor: index, at: first * rowBytes, into: part)
            guard count * width > 0, let source = part.baseAddress, let values = floats.baseAddress else { continue }
            FloatConversion.decode(dtype, source, count: count * width, into: values)
            let piece = UnsafeBufferPointer(rebasing: floats[..<(count * width)])
            // Without an early exit this is done many at a time.
            let largest = piece.reduce(0) { max($0, $1.bitPattern & 0x7FFF_FFFF) }
            guard largest < Float.infinity.bitPattern else {
                let bad = piece.firstIndex { !$0.isFinite } ?? 0
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
