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
        let a = try values(ofEntry: factorEntries[index].a)
        let b = try values(ofEntry: factorEntries[index].b)
        guard configuration.fanInFanOut else {
            return LowRankFactors(
                rows: module.outFeatures, columns: module.inFeatures, rank: module.rank, left: b, right: a,
                scaling: module.scaling)
        }
        return LowRankFactors(
            rows: module.inFeatures, columns: module.outFeatures, rank: module.rank,
            left: transposed(a, rows: module.rank, columns: module.inFeatures),
            right: transposed(b, rows: module.outFeatures, columns: module.rank), scaling: module.scaling)
    }

    private func values(ofEntry index: Int) throws -> [Float] {
        let entry = source.entries[index]
        let bytes = try source.bytes(ofEntry: index)
        let values = bytes.withUnsafeBytes { widen($0, from: entry.dtype) }
        if let index = values.firstIndex(where: { !$0.isFinite }) {
            throw AdapterError.nonFinite(file: files[1], tensor: entry.name, index: index)
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
    case .f16: return load(UInt16.self) { Float(Float16(bitPattern: $0)) }
    case .bf16: return load(UInt16.self) { Float(bitPattern: UInt32($0) << 16) }
    default: return load(UInt32.self) { Float(bitPattern: $0) }
    }
}

private func transposed(_ values: [Float], rows: Int, columns: Int) -> [Float] {
    [Float](unsafeUninitializedCapacity: values.count) { buffer, count in
        for row in 0..<rows {
            for column in 0..<columns {
                buffer[column * rows + row] = values[row * columns + column]
            }
        }
        count = rows * columns
    }
}
