/// The first 64 bytes of an NF4 container.
package struct NF4ContainerHeader: Hashable, Sendable {
    package var version = NF4ContainerFormat.version
    package var requiredFeatures: UInt32 = 0
    package var optionalFeatures: UInt32 = 0
    package var indexChecksum: UInt32 = 0
    package var fileLength: UInt64 = 0
    package var indexOffset: UInt64 = 0
    package var indexStoredSize: UInt64 = 0
    package var indexSize: UInt64 = 0

    package init() {}

    package func encoded() -> [UInt8] {
        var bytes = NF4ContainerFormat.magic
        for value in [version, requiredFeatures, optionalFeatures, indexChecksum] { bytes.appendLittleEndian(value) }
        for value in [fileLength, indexOffset, indexStoredSize, indexSize] { bytes.appendLittleEndian(value) }
        bytes.appendLittleEndian(UInt32(0))  // reserved
        bytes.appendLittleEndian(Zlib.crc32(bytes))
        return bytes
    }

    /// Reads a header and checks it against the size of the file.
    package init(_ bytes: [UInt8], fileSize: Int) throws(NF4ContainerProblem) {
        guard bytes.starts(with: NF4ContainerFormat.magic) else {
            // The name survives what a transfer as text does to the rest.
            let isMangled = bytes.count >= 4 && bytes[1...3] == NF4ContainerFormat.magic[1...3]
            throw isMangled ? .transferredAsText : .notAContainer
        }
        guard bytes.count >= NF4ContainerFormat.headerSize else {
            throw .wrongLength(expected: UInt64(NF4ContainerFormat.headerSize), found: fileSize)
        }
        var cursor = IndexCursor(bytes[8..<NF4ContainerFormat.headerSize])
        version = try cursor.fixed()
        requiredFeatures = try cursor.fixed()
        optionalFeatures = try cursor.fixed()
        indexChecksum = try cursor.fixed()
        fileLength = try cursor.fixed()
        indexOffset = try cursor.fixed()
        indexStoredSize = try cursor.fixed()
        indexSize = try cursor.fixed()
        let _: UInt32 = try cursor.fixed()
        let checksum: UInt32 = try cursor.fixed()
        guard checksum == Zlib.crc32(Array(bytes[..<(NF4ContainerFormat.headerSize - 4)])) else { throw .damagedHeader }
        guard version == NF4ContainerFormat.version else { throw .unsupportedVersion(version) }
        let unknown = requiredFeatures & ~NF4ContainerFormat.knownRequiredFeatures
        guard unknown == 0 else { throw .unsupportedFeatures((0..<32).filter { unknown >> $0 & 1 == 1 }) }
        guard fileLength == UInt64(fileSize) else { throw .wrongLength(expected: fileLength, found: fileSize) }
        try checkIndex()
    }

    private func checkIndex() throws(NF4ContainerProblem) {
        let (end, overflow) = indexOffset.addingReportingOverflow(indexStoredSize)
        guard !overflow, end == fileLength, indexOffset >= UInt64(NF4ContainerFormat.headerSize) else {
            throw .impossibleIndex(reason: "it does not end the file")
        }
        guard indexSize <= UInt64(NF4ContainerFormat.maximumIndexSize) else {
            throw .impossibleIndex(
                reason: "\(indexSize) bytes is more than the limit of \(NF4ContainerFormat.maximumIndexSize)")
        }
        guard indexSize / UInt64(NF4ContainerFormat.deflateMaximumRatio) <= indexStoredSize,
            indexStoredSize <= indexSize + 1024
        else {
            throw .impossibleIndex(reason: "\(indexStoredSize) bytes cannot decompress to \(indexSize)")
        }
    }

    package var isAligned: Bool { requiredFeatures & NF4ContainerFormat.alignedFeature != 0 }
    package var hasAdapters: Bool { requiredFeatures & NF4ContainerFormat.adaptersFeature != 0 }
}
