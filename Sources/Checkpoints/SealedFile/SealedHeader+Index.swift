import Tensors

extension SealedHeader {
    /// Reads the header of a file.
    ///
    /// - Throws: ``SealedFileProblem`` when it is none or does not fit the file; ``Tensors/FileError``.
    init(of file: InputFile, as format: SealedFormat) throws {
        let bytes = try file.bytes(0..<min(file.size, SealedHeader.byteCount))
        try self.init(bytes, as: format, fileSize: file.size)
    }

    /// Reads and inflates the index of the file that the header is of.
    ///
    /// - Throws: ``SealedFileProblem/damagedIndex``; ``Tensors/FileError``.
    func readIndex(of file: InputFile) throws -> [UInt8] {
        // The header has been checked: both fit the file, and the size is bounded.
        let stored = try file.bytes(Int(indexOffset)..<file.size)
        guard Zlib.crc32(stored) == indexChecksum else { throw SealedFileProblem.damagedIndex }
        var bytes = [UInt8](repeating: 0, count: Int(indexSize))
        let isWhole = stored.withUnsafeBytes { stored in
            bytes.withUnsafeMutableBytes { Zlib.inflate(stored, into: $0) }
        }
        guard isWhole else { throw SealedFileProblem.damagedIndex }
        return bytes
    }

    /// Deflates an index that is to end a file, and says in the header where it stands.
    ///
    /// - Parameter offset: Where the index starts.
    /// - Returns: The bytes to write there; `nil` when the index is larger than the format allows.
    package mutating func place(_ index: [UInt8], at offset: Int, as format: SealedFormat) -> [UInt8]? {
        guard index.count <= format.maximumIndexSize, let stored = index.withUnsafeBytes({ Zlib.deflate($0) }) else {
            return nil
        }
        indexChecksum = Zlib.crc32(stored)
        indexOffset = UInt64(offset)
        indexStoredSize = UInt64(stored.count)
        indexSize = UInt64(index.count)
        fileLength = indexOffset + indexStoredSize
        return stored
    }
}
