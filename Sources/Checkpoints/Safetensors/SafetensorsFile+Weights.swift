import Tensors

extension SafetensorsFile: WeightsFile {
    var contents: [WeightsEntry] {
        entries.map { WeightsEntry(name: $0.name, dtype: $0.dtype, shape: $0.shape, byteCount: $0.byteCount) }
    }

    func read(entry index: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        try read(entries[index], at: offset, into: buffer)
    }
}
