/// The first 64 bytes of a file of a ``SealedFormat``: versions, features and the place of its index, under a checksum.
package struct SealedHeader: Hashable, Sendable {
    package static let byteCount = 64

    package var version: UInt32
    package var requiredFeatures: UInt32 = 0
    package var optionalFeatures: UInt32 = 0
    package var indexChecksum: UInt32 = 0
    /// Not stored where the format says so.
    package var fileLength: UInt64 = 0
    package var indexOffset: UInt64 = 0
    package var indexStoredSize: UInt64 = 0
    package var indexSize: UInt64 = 0

    package init(_ format: SealedFormat) { version = format.version }

    package func encoded(as format: SealedFormat) -> [UInt8] {
        var bytes = format.magic
        for value in [version, requiredFeatures, optionalFeatures, indexChecksum] { bytes.appendLittleEndian(value) }
        if format.statesFileLength { bytes.appendLittleEndian(fileLength) }
        for value in [indexOffset, indexStoredSize, indexSize] { bytes.appendLittleEndian(value) }
        bytes += repeatElement(0, count: SealedHeader.byteCount - 4 - bytes.count)
        bytes.appendLittleEndian(Zlib.crc32(bytes))
        return bytes
    }

    /// Reads a header and checks it against the size of the file.
    package init(_ bytes: [UInt8], as format: SealedFormat, fileSize: Int) throws(SealedFileProblem) {
        guard format.recognizes(bytes) else {
            // The name survives what a transfer as text does to the rest.
            let isMangled = bytes.count >= 4 && bytes[1...3] == format.magic[1...3]
            throw isMangled ? .transferredAsText : .otherFormat
        }
        guard bytes.count >= SealedHeader.byteCount else {
            throw .wrongLength(expected: UInt64(SealedHeader.byteCount), found: fileSize)
        }
        let sealed = bytes[..<(SealedHeader.byteCount - 4)]
        var seal = IndexCursor(bytes[sealed.endIndex..<SealedHeader.byteCount])
        guard try seal.fixed() == Zlib.crc32(Array(sealed)) else { throw .damagedHeader }
        var cursor = IndexCursor(sealed[format.magic.count...])
        version = try cursor.fixed()
        requiredFeatures = try cursor.fixed()
        optionalFeatures = try cursor.fixed()
        indexChecksum = try cursor.fixed()
        let statedLength: UInt64? = format.statesFileLength ? try cursor.fixed() : nil
        indexOffset = try cursor.fixed()
        indexStoredSize = try cursor.fixed()
        indexSize = try cursor.fixed()
        fileLength = statedLength ?? indexOffset &+ indexStoredSize
        guard version == format.version else { throw .unsupportedVersion(version) }
        let unknown = requiredFeatures & ~format.knownRequiredFeatures
        guard unknown == 0 else { throw .unsupportedFeatures((0..<32).filter { unknown >> $0 & 1 == 1 }) }
        try checkPlace(fileSize: fileSize)
        try checkSize(limit: format.maximumIndexSize)
    }

    private func checkPlace(fileSize: Int) throws(SealedFileProblem) {
        let (end, overflow) = indexOffset.addingReportingOverflow(indexStoredSize)
        guard !overflow, indexOffset >= UInt64(SealedHeader.byteCount) else {
            throw .impossibleIndex(reason: "it lies in no file")
        }
        guard fileLength == UInt64(fileSize) else { throw .wrongLength(expected: fileLength, found: fileSize) }
        guard end == fileLength else { throw .impossibleIndex(reason: "it does not end the file") }
    }

    private func checkSize(limit: Int) throws(SealedFileProblem) {
        guard indexSize <= UInt64(limit) else {
            throw .impossibleIndex(reason: "\(indexSize) bytes is more than the limit of \(limit)")
        }
        // What does not compress is stored, in blocks whose headers take less than a thousandth.
        guard indexSize / UInt64(Zlib.maximumRatio) <= indexStoredSize,
            indexStoredSize <= indexSize + indexSize / 1024 + 1024
        else {
            throw .impossibleIndex(reason: "\(indexStoredSize) bytes cannot decompress to \(indexSize)")
        }
    }
}
