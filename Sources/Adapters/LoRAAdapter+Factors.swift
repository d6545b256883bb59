import Tensors

extension LoRAAdapter {
    /// Reads the factors of a module, widened to float32 and oriented for the stored weight.
    ///
    /// PEFT computes the update as (lora_B @ lora_A) · scaling, transposed with `fan_in_fan_out`: (B·A)ᵀ = Aᵀ·Bᵀ. It widens
    /// 16-bit factors to float32 when it loads them (`autocast_adapter_dtype`), which is exact.
    ///
    /// - Parameter index: Index into ``modules``.
    /// - Throws: ``AdapterError/nonFinite(file:tensor:index:)``; ``Tensors/FileError`` when the file cannot be read.
    public func factors(ofModule index: Int) throws -> LowRankFactors {
        let module = modules[index]
        let a = try values(ofTensor: module.tensors.a)
        let b = try values(ofTensor: module.tensors.b)
        let factors = LowRankFactors(
            rows: module.outFeatures, columns: module.inFeatures, rank: module.rank, left: b, right: a,
            scaling: module.scaling)
        return module.isStoredInOut ? factors.transposed : factors
    }

    /// Reads the bias of a module's lora_B as a low-rank update of the base's bias, [out, 1] = bias · [1].
    ///
    /// PEFT adds lora_B.bias · scaling. (Onto 4-bit layers PEFT 0.21.2 adds it unscaled, unlike its own forward pass; here
    /// it is scaled everywhere.)
    ///
    /// - Returns: The update; of zeros when the module has no such bias.
    /// - Throws: as ``factors(ofModule:)``.
    public func biasFactors(ofModule index: Int) throws -> LowRankFactors {
        let module = modules[index]
        let bias = try module.tensors.bias.map(values(ofTensor:))
        return LowRankFactors(
            rows: module.outFeatures, columns: 1, rank: 1,
            left: bias ?? Array(repeating: 0, count: module.outFeatures), right: [1], scaling: module.scaling)
    }

    /// Reads the low-rank update that a change adds, of a weight or of a bias.
    ///
    /// - Parameter index: Index into ``changes``.
    /// - Throws: as ``factors(ofModule:)``.
    public func addedFactors(ofChange index: Int) throws -> LowRankFactors {
        switch changes[index].kind {
        case .lowRank(let module): try factors(ofModule: module)
        case .bias(let module): try biasFactors(ofModule: module)
        }
    }

    /// Reads DoRA's magnitudes of a module, one for each output.
    ///
    /// - Returns: `nil` when the module has none.
    /// - Throws: as ``factors(ofModule:)``.
    public func magnitudes(ofModule index: Int) throws -> [Float]? {
        try modules[index].tensors.magnitude.map(values(ofTensor:))
    }

    /// Bytes that the data of a change takes in memory while its tensor is worked on.
    public func factorBytes(ofChange index: Int) -> Int {
        switch changes[index].kind {
        case .lowRank(let index):
            let module = modules[index]
            return (module.rank * (module.inFeatures + module.outFeatures) + 3 * module.outFeatures) * 4
        case .bias(let index):
            return modules[index].outFeatures * 4
        }
    }

    private func values(ofTensor index: Int) throws -> [Float] {
        let tensor = weights.tensors[index]
        let byteCount = tensor.byteCount(of: .values)
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 16)
        defer { bytes.deallocate() }
        try weights.read(.values, ofTensor: index, at: 0, into: bytes)
        let values = widen(UnsafeRawBufferPointer(bytes), from: tensor.encoding.denseDType ?? .f32)
        if let index = values.firstIndex(where: { !$0.isFinite }) {
            throw AdapterError.nonFinite(file: weightsFile, tensor: tensor.name, index: index)
        }
        return values
    }
}

/// The float32 values of a factor's bytes. Every value of the 16-bit types is a float32.
private func widen(_ bytes: UnsafeRawBufferPointer, from dtype: DType) -> [Float] {
    func load<Bits: FixedWidthInteger>(_ type: Bits.Type, _ convert: (Bits) -> Float) -> [Float] {
        let width = MemoryLayout<Bits>.size
        return (0..<bytes.count / width).map {
            convert(Bits(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * width, as: Bits.self)))
        }
    }
    switch dtype {
    case .f16: return load(UInt16.self, widenHalf)
    case .bf16: return load(UInt16.self) { Float(bitPattern: UInt32($0) << 16) }
    default: return load(UInt32.self) { Float(bitPattern: $0) }
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
