import Tensors

/// The directory of a zip archive, completely checked against the file: classic and zip64, stored and deflated members.
///
/// As in APPNOTE.TXT 6.3.10 of PKWARE, without encryption, several disks, and other compression.
struct ZipArchive: Sendable {
    /// One member, and where its data lies.
    struct Member: Hashable, Sendable {
        let name: String
        let isDeflated: Bool
        /// The bytes of the file that hold the data, compressed or not.
        let range: Range<Int>
        /// The size of the data before compression.
        let size: Int
        let crc32: UInt32
    }

    private static let directoryLimit = 64 << 20
    /// Deflate cannot do better; zlib's documentation derives the bound.
    private static let maximumRatio = 1032

    /// By name.
    let members: [String: Member]

    /// Reads the directory and every member's local header.
    ///
    /// - Throws: ``ZipProblem``; ``Tensors/FileError``.
    init(_ file: InputFile) throws {
        let end = try ZipArchive.findEnd(file)
        guard end.directory.count <= ZipArchive.directoryLimit else {
            throw ZipProblem.directoryTooLarge(byteCount: end.directory.count, limit: ZipArchive.directoryLimit)
        }
        let headers = try ZipArchive.directory(
            ZipRecord(bytes: file.bytes(end.directory)), count: end.memberCount)
        var members: [String: Member] = [:]
        members.reserveCapacity(headers.count)
        var previous: (name: String, end: Int) = ("", 0)
        for header in headers.sorted(by: { $0.localOffset < $1.localOffset }) {
            let member = try ZipArchive.locate(header, in: file, before: end.directory.lowerBound)
            guard header.localOffset >= previous.end else {
                throw ZipProblem.overlap(member: member.name, other: previous.name)
            }
            guard members.updateValue(member, forKey: member.name) == nil else {
                throw ZipProblem.duplicateMember(member.name)
            }
            previous = (member.name, member.range.upperBound)
        }
        self.members = members
    }

    /// Reads a member's data into memory.
    ///
    /// - Parameter buffer: As large as the member; filled completely.
    /// - Throws: ``ZipProblem/damaged(member:)`` for data that does not decompress to the size or the checksum;
    ///   ``Tensors/FileError``.
    static func read(_ member: Member, of file: InputFile, into buffer: UnsafeMutableRawBufferPointer) throws {
        if member.isDeflated {
            let compressed = try file.bytes(member.range)
            guard compressed.withUnsafeBytes({ Zlib.inflate($0, into: buffer) }) else {
                throw ZipProblem.damaged(member: member.name)
            }
        } else {
            try file.read(into: buffer, at: member.range.lowerBound)
        }
        // PyTorch writes 0 where it was told to compute no checksums.
        guard member.crc32 == 0 || Zlib.crc32(UnsafeRawBufferPointer(buffer)) == member.crc32 else {
            throw ZipProblem.damaged(member: member.name)
        }
    }
}

// MARK: - The end record

extension ZipArchive {
    private struct End {
        let memberCount: Int
        let directory: Range<Int>
    }

    /// Finds the end-of-central-directory record, and zip64's if there is one.
    private static func findEnd(_ file: InputFile) throws -> End {
        let recordSize = 22
        let tailStart = max(0, file.size - recordSize - 0xFFFF)
        let tail = ZipRecord(bytes: try file.bytes(tailStart..<file.size))
        // The record ends the file, after a comment whose length it gives.
        let starts = stride(from: tail.bytes.count - recordSize, through: 0, by: -1)
        let found = starts.first { start in
            tail.uint32(start) == 0x0605_4B50 && start + recordSize + tail.uint16(start + 20) == tail.bytes.count
        }
        guard let start = found else { throw ZipProblem.noDirectory }
        guard tail.uint16(start + 4) == 0, tail.uint16(start + 6) == 0,
            tail.uint16(start + 8) == tail.uint16(start + 10)
        else { throw ZipProblem.inconsistentDirectory(reason: "the archive is one of several disks") }
        let classic = (
            count: tail.uint16(start + 10), size: Int(tail.uint32(start + 12)), offset: Int(tail.uint32(start + 16))
        )
        let endOfDirectory = tailStart + start
        guard let zip64 = try zip64End(file, before: endOfDirectory) else {
            return End(
                memberCount: classic.count,
                directory: try directoryRange(offset: classic.offset, size: classic.size, limit: endOfDirectory))
        }
        // Readers that look at one record only must see the same archive as those that look at the other.
        guard classic.count == zip64.count || classic.count == 0xFFFF,
            classic.size == zip64.size || classic.size == 0xFFFF_FFFF,
            classic.offset == zip64.offset || classic.offset == 0xFFFF_FFFF
        else { throw ZipProblem.inconsistentDirectory(reason: "its zip64 record contradicts the other") }
        return End(
            memberCount: zip64.count,
            directory: try directoryRange(offset: zip64.offset, size: zip64.size, limit: zip64.start))
    }

    private static func directoryRange(offset: Int, size: Int, limit: Int) throws(ZipProblem) -> Range<Int> {
        guard offset <= limit, size <= limit - offset else {
            throw .inconsistentDirectory(
                reason: "it lies outside the file; the file is truncated or was put together wrongly")
        }
        return offset..<offset + size
    }

    private static func zip64End(
        _ file: InputFile, before endRecord: Int
    ) throws -> (start: Int, count: Int, size: Int, offset: Int)? {
        let locatorSize = 20
        guard endRecord >= locatorSize else { return nil }
        let locator = ZipRecord(bytes: try file.bytes(endRecord - locatorSize..<endRecord))
        guard locator.uint32(0) == 0x0706_4B50 else { return nil }
        let recordSize = 56
        guard let start = locator.int64(8), start <= endRecord - locatorSize - recordSize else {
            throw ZipProblem.inconsistentDirectory(reason: "its zip64 record lies outside the file")
        }
        let record = ZipRecord(bytes: try file.bytes(start..<start + recordSize))
        guard record.uint32(0) == 0x0606_4B50, record.uint32(16) == 0, record.uint32(20) == 0,
            let here = record.int64(24), let count = record.int64(32), here == count,
            let size = record.int64(40), let offset = record.int64(48)
        else { throw ZipProblem.inconsistentDirectory(reason: "its zip64 record is malformed") }
        return (start, count, size, offset)
    }
}

// MARK: - Members

extension ZipArchive {
    /// What the directory says about a member.
    private struct Header {
        let name: String
        let isDeflated: Bool
        let crc32: UInt32
        let compressedSize: Int
        let size: Int
        let localOffset: Int
    }

    private static func directory(_ record: ZipRecord, count: Int) throws(ZipProblem) -> [Header] {
        let fixedSize = 46
        var headers: [Header] = []
        var position = 0
        while position < record.bytes.count {
            guard record.bytes.count - position >= fixedSize, record.uint32(position) == 0x0201_4B50 else {
                throw .inconsistentDirectory(reason: "member \(headers.count) is malformed")
            }
            let nameEnd = position + fixedSize + record.uint16(position + 28)
            let extraEnd = nameEnd + record.uint16(position + 30)
            let end = extraEnd + record.uint16(position + 32)
            guard end <= record.bytes.count else {
                throw .inconsistentDirectory(reason: "member \(headers.count) goes on after its end")
            }
            guard let name = String(validating: record.bytes[position + fixedSize..<nameEnd], as: UTF8.self) else {
                throw .invalidName(index: headers.count)
            }
            headers.append(try header(name, record, at: position, extra: nameEnd..<extraEnd))
            position = end
        }
        guard headers.count == count else {
            throw .inconsistentDirectory(reason: "it has \(headers.count) members and claims \(count)")
        }
        return headers
    }

    private static func header(
        _ name: String, _ record: ZipRecord, at position: Int, extra: Range<Int>
    ) throws(ZipProblem) -> Header {
        // Bits 0, 6 and 13: encryption of the data, strong or of the directory.
        guard record.uint16(position + 8) & 0x2041 == 0 else { throw .encryptedMember(name) }
        let method = record.uint16(position + 10)
        guard method == 0 || method == 8 else { throw .unsupportedMethod(member: name, method: method) }
        var size = Int(record.uint32(position + 24))
        var compressedSize = Int(record.uint32(position + 20))
        var localOffset = Int(record.uint32(position + 42))
        // Fields that do not fit stand in the zip64 extra field, in this order.
        var wide = record.extraField(1, in: extra)
        for field in [\Wide.size, \.compressedSize, \.localOffset] {
            var values = Wide(size: size, compressedSize: compressedSize, localOffset: localOffset)
            guard values[keyPath: field] == 0xFFFF_FFFF else { continue }
            guard let range = wide, range.count >= 8, let value = record.int64(range.lowerBound) else {
                throw .invalidMember(name, reason: "has no size or place for zip64")
            }
            values[keyPath: field] = value
            (size, compressedSize, localOffset) = (values.size, values.compressedSize, values.localOffset)
            wide = range.dropFirst(8)
        }
        if method == 0 {
            guard compressedSize == size else {
                throw .invalidMember(name, reason: "is stored in \(compressedSize) bytes but has \(size)")
            }
        } else {
            guard size / maximumRatio <= compressedSize else {
                throw .implausibleSize(member: name, compressed: compressedSize, size: size)
            }
            // Incompressible data grows by five bytes a block of at most 64 KiB, and a little.
            guard compressedSize / 2 - 64 <= size else {
                throw .invalidMember(name, reason: "is compressed to \(compressedSize) bytes, which hold only \(size)")
            }
        }
        return Header(
            name: name, isDeflated: method == 8, crc32: record.uint32(position + 16), compressedSize: compressedSize,
            size: size, localOffset: localOffset)
    }

    private struct Wide {
        var size: Int
        var compressedSize: Int
        var localOffset: Int
    }

    /// Finds a member's data behind its local header, which must name it too.
    private static func locate(_ header: Header, in file: InputFile, before limit: Int) throws -> Member {
        let fixedSize = 30
        func outside() -> ZipProblem {
            .invalidMember(
                header.name, reason: "lies outside the file; the file is truncated or was put together wrongly")
        }
        guard header.localOffset <= limit - fixedSize else { throw outside() }
        let local = ZipRecord(bytes: try file.bytes(header.localOffset..<header.localOffset + fixedSize))
        let nameStart = header.localOffset + fixedSize
        let nameEnd = nameStart + local.uint16(26)
        let dataStart = nameEnd + local.uint16(28)
        guard local.uint32(0) == 0x0403_4B50, dataStart <= limit else {
            throw ZipProblem.invalidMember(header.name, reason: "has no valid header before its data")
        }
        guard header.compressedSize <= limit - dataStart else { throw outside() }
        guard try file.bytes(nameStart..<nameEnd) == Array(header.name.utf8),
            local.uint16(8) == (header.isDeflated ? 8 : 0)
        else {
            throw ZipProblem.invalidMember(header.name, reason: "has another name or method beside its data")
        }
        return Member(
            name: header.name, isDeflated: header.isDeflated,
            range: dataStart..<dataStart + header.compressedSize, size: header.size, crc32: header.crc32)
    }
}

/// Little-endian fields of a zip archive's records. The caller has checked that they lie inside.
private struct ZipRecord {
    let bytes: [UInt8]

    func uint16(_ position: Int) -> Int { Int(bytes[position]) | Int(bytes[position + 1]) << 8 }

    func uint32(_ position: Int) -> UInt32 {
        UInt32(uint16(position)) | UInt32(uint16(position + 2)) << 16
    }

    /// A 64-bit field; `nil` for values beyond any file.
    func int64(_ position: Int) -> Int? {
        Int(exactly: UInt64(uint32(position)) | UInt64(uint32(position + 4)) << 32)
    }

    /// Where the data of an extra field with this identifier lies.
    func extraField(_ identifier: Int, in extra: Range<Int>) -> Range<Int>? {
        var position = extra.lowerBound
        while extra.upperBound - position >= 4 {
            let start = position + 4
            let size = uint16(position + 2)
            guard size <= extra.upperBound - start else { return nil }
            if uint16(position) == identifier { return start..<start + size }
            position = start + size
        }
        return nil
    }
}
