import Checkpoints
import Tensors
import TestSupport

/// A file of one of our formats taken apart, to be put together again with checksums that fit.
package struct SealedBytes {
    package let format: SealedFormat
    package var header: SealedHeader
    package var data: [UInt8]
    /// Not compressed.
    package var index: [UInt8]

    /// Takes a valid file apart.
    package init(_ bytes: [UInt8], as format: SealedFormat) throws {
        self.format = format
        header = try SealedHeader(Array(bytes.prefix(SealedHeader.byteCount)), as: format, fileSize: bytes.count)
        data = Array(bytes[SealedHeader.byteCount..<Int(header.indexOffset)])
        index = [UInt8](repeating: 0, count: Int(header.indexSize))
        let stored = Array(bytes[Int(header.indexOffset)...])
        let isWhole = stored.withUnsafeBytes { stored in
            index.withUnsafeMutableBytes { Zlib.inflate(stored, into: $0) }
        }
        guard isWhole else { throw SealedFileProblem.damagedIndex }
    }

    package init(index: [UInt8], data: [UInt8] = [], as format: SealedFormat) {
        self.format = format
        header = SealedHeader(format)
        self.data = data
        self.index = index
    }

    /// Changes a few bytes of the index.
    package mutating func editIndex(_ generator: inout SeededGenerator) {
        for _ in 0...generator.below(3) {
            let position = generator.below(index.count)
            switch generator.below(4) {
            case 0: index[position] = UInt8(generator.below(256))
            case 1: index[position] = 0xFF
            case 2: index.remove(at: position)
            default: index.insert(UInt8(generator.below(256)), at: position)
            }
        }
    }

    /// - Parameter edit: Spoils the header when it describes the file.
    package func assembled(_ edit: (inout SealedHeader) -> Void = { _ in }) -> [UInt8] {
        // Not by the writers' own code, which knows limits.
        let stored = index.withUnsafeBytes { Zlib.deflate($0) } ?? []
        var header = header
        header.indexOffset = UInt64(SealedHeader.byteCount + data.count)
        header.indexStoredSize = UInt64(stored.count)
        header.indexSize = UInt64(index.count)
        header.indexChecksum = Zlib.crc32(stored)
        header.fileLength = header.indexOffset + header.indexStoredSize
        edit(&header)
        return header.encoded(as: format) + data + stored
    }
}

extension SealedHeader {
    /// Changes one field.
    package mutating func edit(_ generator: inout SeededGenerator) {
        let field = generator.below(7)
        let value = generator.below(2) == 0 ? generator.next() : UInt64(generator.below(5000))
        switch field {
        case 0: version = UInt32(truncatingIfNeeded: value)
        case 1: requiredFeatures = UInt32(truncatingIfNeeded: value)
        case 2: fileLength = value
        case 3: indexOffset = value
        case 4: indexStoredSize = value
        case 5: indexSize = value
        default:
            indexOffset &+= value
            indexStoredSize &-= value
        }
    }
}

extension [UInt8] {
    /// The bytes of a file after an accident.
    package func damaged(_ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = self
        func range(_ generator: inout SeededGenerator) -> Range<Int> {
            let start = generator.below(count)
            return start..<Swift.min(count, start + generator.below(200) + 1)
        }
        switch generator.below(8) {
        case 0: bytes[generator.below(count)] ^= 1 << UInt8(generator.below(8))
        case 1: bytes[generator.below(SealedHeader.byteCount)] = UInt8(generator.below(256))
        case 2: bytes.removeLast(generator.below(count) + 1)
        case 3: bytes += generator.bytes(generator.below(100) + 1)
        case 4: bytes.removeSubrange(range(&generator))
        case 5: bytes.insert(contentsOf: self[range(&generator)], at: generator.below(count))
        case 6:
            let source = range(&generator)
            let start = generator.below(count - source.count + 1)
            bytes.replaceSubrange(start..<(start + source.count), with: self[source])
        default: for index in range(&generator) { bytes[index] = UInt8(generator.below(256)) }
        }
        return bytes
    }
}
