import Quantization
import Tensors

extension LoRAAdapter {
    /// Reads the factors of a module, widened to float32, as a tensor that it updates wants them.
    ///
    /// PEFT computes the update as (lora_B @ lora_A) · scaling, transposed for a weight stored [in, out]: (B·A)ᵀ = Aᵀ·Bᵀ.
    /// It widens 16-bit factors to float32 when it loads them (`autocast_adapter_dtype`), which is exact.
    ///
    /// - Parameters:
    ///   - index: Index into ``modules``.
    ///   - placement: How the product lies in the tensor, as ``match(to:orientation:)`` found it; `nil` for what the
    ///     configuration says.
    /// - Throws: ``AdapterError/nonFinite(file:tensor:index:)``; ``Tensors/FileError`` when the file cannot be read.
    public func factors(ofModule index: Int, placement: FactorPlacement? = nil) throws -> LowRankFactors {
        let module = modules[index]
        return try gathering.factors(
            a: module.tensors.a, b: module.tensors.b, placement: placement ?? module.placement)
    }

    var gathering: FactorGathering { FactorGathering(weights: weights, file: weightsFile) }

    /// Reads the bias of a module's lora_B as a low-rank update of the base's bias, [out, 1] = bias · [1].
    ///
    /// PEFT adds lora_B.bias · scaling. (Onto 4-bit layers PEFT 0.21.2 adds it unscaled, unlike its own forward pass; here
    /// it is scaled everywhere.)
    ///
    /// - Returns: The update; of zeros when the module has no such bias.
    /// - Throws: as ``factors(ofModule:placement:)``.
    public func biasFactors(ofModule index: Int) throws -> LowRankFactors {
        let module = modules[index]
        let bias = try module.tensors.bias.map(gathering.values(ofTensor:))
        return LowRankFactors(
            rows: module.outFeatures, columns: 1, rank: 1,
            left: bias ?? Array(repeating: 0, count: module.outFeatures), right: [1], scaling: module.scaling)
    }

    /// Reads the low-rank update that a change adds to a tensor, a weight or a bias.
    ///
    /// - Parameter match: One of those that ``match(to:orientation:)`` found.
    /// - Returns: `nil` for a change that has none.
    /// - Throws: as ``factors(ofModule:placement:)``.
    public func addedFactors(of match: AdapterMatch) throws -> LowRankFactors? {
        switch changes[match.change].kind {
        case .lowRank(let module): try factors(ofModule: module, placement: match.placement)
        case .bias(let module): try biasFactors(ofModule: module)
        case .replacement, .rows: nil
        }
    }

    /// Whether a change adds to the base's tensor, whatever is there.
    public func isAddition(_ change: AdapterChange) -> Bool {
        switch change.kind {
        case .lowRank(let module): !modules[module].hasMagnitude
        case .bias: true
        case .replacement, .rows: false
        }
    }

    /// Reads trained rows, widened to float32.
    ///
    /// - Parameter tensor: Index among the tensors of the file.
    /// - Throws: as ``factors(ofModule:placement:)``.
    public func rowValues(ofTensor tensor: Int) throws -> [Float] { try gathering.values(ofTensor: tensor) }

    /// The error of an element that is NaN or infinite.
    public func nonFinite(tensor: Int, element: Int) -> AdapterError {
        .nonFinite(file: weightsFile, tensor: weights.tensors[tensor].name, index: element)
    }

    /// Whether two tensors of the file are the same, byte for byte.
    func haveEqualBytes(_ first: Int, _ second: Int) throws -> Bool {
        guard weights.tensors[first].shape == weights.tensors[second].shape,
            weights.tensors[first].encoding == weights.tensors[second].encoding
        else { return false }
        let byteCount = weights.tensors[first].byteCount(of: .values)
        let piece = 1 << 20
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 * piece, alignment: InputFile.bufferAlignment)
        defer { buffer.deallocate() }
        for start in stride(from: 0, to: byteCount, by: piece) {
            let count = min(piece, byteCount - start)
            let a = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
            let b = UnsafeMutableRawBufferPointer(rebasing: buffer[piece..<piece + count])
            try weights.read(.values, ofTensor: first, at: start, into: a)
            try weights.read(.values, ofTensor: second, at: start, into: b)
            guard a.elementsEqual(b) else { return false }
        }
        return true
    }

    /// Reads DoRA's magnitudes of a module, one for each output.
    ///
    /// - Returns: `nil` when the module has none.
    /// - Throws: as ``factors(ofModule:placement:)``.
    public func magnitudes(ofModule index: Int) throws -> [Float]? {
        try modules[index].tensors.magnitude.map(gathering.values(ofTensor:))
    }

    /// Bytes that the data of a change takes in memory while one of its tensors is worked on.
    ///
    /// - Parameters:
    ///   - index: Index into ``changes``.
    ///   - placement: What the tensor takes of the factors.
    public func factorBytes(ofChange index: Int, placement: FactorPlacement?) -> Int {
        switch changes[index].kind {
        case .lowRank(let index):
            let module = modules[index]
            let placement = placement ?? module.placement
            let inFeatures = weights.tensors[module.tensors.a].shape.dropFirst().reduce(1, *)
            let outFeatures = module.outFeatures
            let isTransposed = placement.layout.isTransposed
            let factors = LowRankUpdate.factorCount(
                blocks: placement.layout.experts.count, rows: isTransposed ? inFeatures : outFeatures,
                columns: isTransposed ? outFeatures : inFeatures, rank: placement.rank)
            let magnitudes = module.hasMagnitude ? 3 * outFeatures : 0
            return (factors + magnitudes) * 4
        case .bias(let index):
            return LowRankUpdate.factorCount(blocks: 1, rows: modules[index].outFeatures, columns: 1, rank: 1) * 4
        case .replacement:
            return 0
        case .rows(let tensor, _):
            return weights.tensors[tensor].elementCount * 4
        }
    }
}
