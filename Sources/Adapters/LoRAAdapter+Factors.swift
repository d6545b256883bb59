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
        let a = try values(ofTensor: factorTensors[index].a)
        let b = try values(ofTensor: factorTensors[index].b)
        let factors = LowRankFactors(
            rows: module.outFeatures, columns: module.inFeatures, rank: module.rank, left: b, right: a,
            scaling: module.scaling)
        return configuration.fanInFanOut ? factors.transposed : factors
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
