/// What a patch holds of a piece of a stored tensor, to know it again.
struct PatchFingerprint: Hashable, Sendable {
    /// CRC-32.
    let checksum: UInt32
    /// SHA-256.
    let digest: [UInt8]

    init(_ bytes: UnsafeRawBufferPointer) {
        checksum = Zlib.crc32(bytes)
        digest = PatchDigest.of(bytes)
    }
}

extension PatchItems {
    /// The bytes of each member of a chunk, which lie one after the other.
    func members(of chunk: PatchChunk, _ bytes: UnsafeRawBufferPointer) -> [(item: Int, bytes: UnsafeRawBufferPointer)]
    {
        var position = 0
        return chunk.items.map { item in
            let count = range(item, piece: chunk.piece).count
            defer { position += count }
            return (item, UnsafeRawBufferPointer(rebasing: bytes[position..<position + count]))
        }
    }

    /// The fingerprint of each member of a chunk.
    func fingerprints(of chunk: PatchChunk, _ bytes: UnsafeRawBufferPointer) -> [PatchFingerprint] {
        members(of: chunk, bytes).map { PatchFingerprint($0.bytes) }
    }
}
