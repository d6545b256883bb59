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
            for piece in pieces(ofTensor: index, rows: rows) {
                let end = count + piece.count * width
                try read(piece, ofTensor: index, into: UnsafeMutableBufferPointer(rebasing: values[count..<end]))
                count = end
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
        let width = rank * expertCount
        for piece in pieces(ofTensor: index, rows: 0..<rows) {
            let all = try self.values(ofTensor: index, rows: piece)
            for (offset, row) in piece.enumerated() {
                for expert in experts {
                    let place = ((expert - experts.lowerBound) * rows + row) * rank
                    for k in 0..<rank { values[place + k] = all[offset * width + k * expertCount + expert] }
                }
            }
        }
        return values
    }

    /// Rows of a tensor, in pieces as they are read.
    private func pieces(ofTensor index: Int, rows: Range<Int>) -> [Range<Int>] {
        let height = max(1, FactorGathering.pieceBytes / max(rowBytes(ofTensor: index), 1))
        return stride(from: rows.lowerBound, to: rows.upperBound, by: height).map {
            $0..<min($0 + height, rows.upperBound)
        }
    }

    private func rowBytes(ofTensor index: Int) -> Int {
        let tensor = weights.tensors[index]
        return tensor.shape.dropFirst().reduce(1, *) * (tensor.encoding.denseDType ?? .f32).bits / 8
    }

    /// Reads rows, which are all that `values` has room for.
    private func read(_ rows: Range<Int>, ofTensor index: Int, into values: UnsafeMutableBufferPointer<Float>) throws {
        guard !values.isEmpty, let destination = values.baseAddress else { return }
        let tensor = weights.tensors[index]
        let dtype = tensor.encoding.denseDType ?? .f32
        let rowBytes = rowBytes(ofTensor: index)
        if dtype == .f32 {
            try weights.read(
                .values, ofTensor: index, at: rows.lowerBound * rowBytes, into: UnsafeMutableRawBufferPointer(values))
        } else {
            let bytes = UnsafeMutableRawBufferPointer.allocate(
                byteCount: rows.count * rowBytes, alignment: InputFile.bufferAlignment)
            defer { bytes.deallocate() }
            try weights.read(.values, ofTensor: index, at: rows.lowerBound * rowBytes, into: bytes)
            if let source = bytes.baseAddress {
                FloatConversion.decode(dtype, source, count: values.count, into: destination)
            }
        }
        guard BlockQuantizer.areFinite(destination, count: values.count) else {
            let bad = values.firstIndex { !$0.isFinite } ?? 0
            let before = rows.lowerBound * (values.count / rows.count)
            throw AdapterError.nonFinite(file: file, tensor: tensor.name, index: before + bad)
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
