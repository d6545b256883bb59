/// The first 64 bytes of a patch.
package struct PatchHeader: Hashable, Sendable {
    package var version = PatchFormat.version
    package var requiredFeatures: UInt32 = 0
    package var optionalFeatures: UInt32 = 0
    package var indexChecksum: UInt32 = 0
    package var indexOffset: UInt64 = 0
    package var indexStoredSize: UInt64 = 0
    package var indexSize: UInt64 = 0

    package init() {}

    /// The length of the file, which the index ends.
    var fileLength: UInt64 { indexOffset &+ indexStoredSize }

    package func encoded() -> [UInt8] {
        var bytes = PatchFormat.magic
        for value in [version, requiredFeatures, optionalFeatures, indexChecksum] { bytes.appendLittleEndian(value) }
        for value in [indexOffset, indexStoredSize, indexSize] { bytes.appendLittleEndian(value) }
        bytes += repeatElement(0, count: PatchFormat.headerSize - 4 - bytes.count)
        bytes.appendLittleEndian(Zlib.crc32(bytes))
        return bytes
    }

    /// Reads a header and checks it against the size of the file.
    package init(_ bytes: [UInt8], fileSize: Int) throws(PatchProblem) {
        guard bytes.starts(with: PatchFormat.magic) else {
            // The name survives what a transfer as text does to the rest.
            let isMangled = bytes.count >= 4 && bytes[1...3] == PatchFormat.magic[1...3]
            throw isMangled ? .transferredAsText : .notAPatch
        }
        guard bytes.count >= PatchFormat.headerSize else {
            throw .wrongLength(expected: UInt64(PatchFormat.headerSize), found: fileSize)
        }
        func number<Value: FixedWidthInteger>(_ offset: Int) -> Value {
            bytes[offset..<offset + Value.bitWidth / 8].reversed().reduce(0) { $0 << 8 | Value($1) }
        }
        guard number(60) == Zlib.crc32(Array(bytes[..<60])) else { throw .damagedHeader }
        version = number(8)
        requiredFeatures = number(12)
        optionalFeatures = number(16)
        indexChecksum = number(20)
        indexOffset = number(24)
        indexStoredSize = number(32)
        indexSize = number(40)
        guard version == PatchFormat.version else { throw .unsupportedVersion(version) }
        let unknown = requiredFeatures & ~PatchFormat.knownRequiredFeatures
        guard unknown == 0 else { throw .unsupportedFeatures((0..<32).filter { unknown >> $0 & 1 == 1 }) }
        try checkIndex(fileSize: fileSize)
    }

    private func checkIndex(fileSize: Int) throws(PatchProblem) {
        guard indexOffset >= UInt64(PatchFormat.headerSize),
            !indexOffset.addingReportingOverflow(indexStoredSize).overflow
        else { throw .impossibleIndex(reason: "it lies in no file") }
        guard fileLength == UInt64(fileSize) else { throw .wrongLength(expected: fileLength, found: fileSize) }
        guard indexSize <= UInt64(PatchFormat.maximumIndexSize) else {
            throw .impossibleIndex(
                reason: "\(indexSize) bytes is more than the limit of \(PatchFormat.maximumIndexSize)")
        }
        guard indexSize / UInt64(PatchFormat.deflateMaximumRatio) <= indexStoredSize else {
            throw .impossibleIndex(reason: "\(indexStoredSize) bytes cannot decompress to \(indexSize)")
        }
    }
}
