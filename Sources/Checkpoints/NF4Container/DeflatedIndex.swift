import Tensors

/// The index that ends a file, deflated.
enum DeflatedIndex {
    /// Reads and inflates it; `nil` when it is damaged.
    ///
    /// - Parameters:
    ///   - start: Where it starts, inside the file.
    ///   - checksum: CRC-32 of the stored bytes.
    ///   - size: Bytes when inflated, which the caller has found to be reasonable.
    static func read(_ file: InputFile, from start: Int, checksum: UInt32, size: Int) -> [UInt8]? {
        guard let stored = try? file.bytes(start..<file.size), Zlib.crc32(stored) == checksum else { return nil }
        var bytes = [UInt8](repeating: 0, count: size)
        let isWhole = stored.withUnsafeBytes { stored in
            bytes.withUnsafeMutableBytes { Zlib.inflate(stored, into: $0) }
        }
        return isWhole ? bytes : nil
    }
}
