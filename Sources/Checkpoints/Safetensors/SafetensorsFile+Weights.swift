import Tensors

extension SafetensorsFile: WeightsFile {
    var contents: [WeightsEntry] {
        entries.map { WeightsEntry(name: $0.name, dtype: $0.dtype, shape: $0.shape, byteCount: $0.byteCount) }
    }

    func read(entry index: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        try read(entries[index], at: offset, into: buffer)
    }

    func withBytes(
        ofEntry index: Int, at offset: Int, using buffer: UnsafeMutableRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let entry = entries[index]
        precondition(offset >= 0 && buffer.count <= entry.byteCount - offset, "range outside the tensor")
        try file.withBytes(at: entry.range.lowerBound + offset, using: buffer, body)
    }
}
