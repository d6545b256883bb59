import SystemPackage
import Tensors

/// An open patch: what leads from one checkpoint to another, and back (formats/patch.md).
///
/// Opening reads the header and the index.
public struct PatchReader: Sendable {
    /// What the names of patches end in.
    public static let pathExtension = "qpatch"

    public let path: FilePath
    /// Bytes of the file.
    public var fileSize: Int { file.size }

    package let index: PatchIndex
    private let file: InputFile

    /// Opens a patch.
    ///
    /// - Throws: ``CheckpointError/invalidPatch(file:problem:)`` when it is none, or damaged; ``Tensors/FileError`` when
    ///   it cannot be read.
    public init(path: FilePath) throws {
        self.path = path
        file = try InputFile(path: path)
        do {
            let header = try SealedHeader(of: file, as: PatchFormat.sealed)
            index = try PatchIndex(header.readIndex(of: file), dataEnd: Int(header.indexOffset))
        } catch let problem as SealedFileProblem {
            throw CheckpointError.invalidPatch(file: path, problem: .file(problem))
        }
    }

    /// Whether a file starts like a patch.
    public static func recognizes(_ firstBytes: some Collection<UInt8>) -> Bool {
        PatchFormat.sealed.recognizes(firstBytes)
    }

    /// Whether a patch stands at a path.
    ///
    /// - Throws: ``Tensors/FileError`` when there is nothing, or it may not be read.
    public static func stands(at path: FilePath) throws -> Bool {
        guard FileSystem.kind(of: path) != .directory else { return false }
        let file = try InputFile(path: path)
        return recognizes(try file.bytes(0..<min(file.size, SealedHeader.byteCount)))
    }

    /// Turns the bytes of a chunk on one side into those on the other.
    ///
    /// - Parameters:
    ///   - bytes: The other side's bytes, if it has them; then the result.
    /// - Throws: ``CheckpointError/invalidPatch(file:problem:)`` when the stream is damaged.
    func decode(chunk number: Int, result: PatchSide, into bytes: UnsafeMutableRawBufferPointer) throws {
        let chunk = index.chunks[number]
        let stored = try file.bytes(chunk.offset..<chunk.offset + chunk.storedSize)
        let isWhole = try stored.withUnsafeBytes { stored in
            guard chunk.storedSize == 0 || Zlib.crc32(stored) == chunk.checksum else { throw damage(number) }
            return PatchDifference.decode(
                stored, kind: index.kind(ofChunk: number), presence: index.presence(ofChunk: number), result: result,
                into: bytes)
        }
        guard isWhole else { throw damage(number) }
    }

    private func damage(_ chunk: Int) -> CheckpointError {
        .invalidPatch(file: path, problem: .damagedData(tensors: index.items.names(index.items.chunks[chunk])))
    }
}

// MARK: - What is in it

extension PatchReader {
    /// The SHA-256 that identifies a side's tensors, in hexadecimal.
    public func digest(_ side: PatchSide) -> String { PatchDigest.text(index.digest(side)) }

    /// The names of the stored tensors whose bytes the patch changes, or that only one side has.
    public var changedTensors: [String] {
        var names: [String] = []
        for (number, chunk) in index.items.chunks.enumerated() where chunk.piece == 0 {
            for (position, item) in chunk.items.enumerated() {
                let known = index.chunks[number]
                let isChanged =
                    index.presence(ofChunk: number) != .both
                    || known.baseChecksums[position] != known.targetChecksums[position]
                if isChanged || hasChangedPiece(item, after: number) { names.append(index.items.all[item].name) }
            }
        }
        return names
    }

    /// Whether a later piece of the item at a chunk differs: the first may be the same.
    private func hasChangedPiece(_ item: Int, after first: Int) -> Bool {
        var number = first + 1
        while number < index.chunks.count, index.items.chunks[number].items == [item] {
            if index.chunks[number].baseChecksums != index.chunks[number].targetChecksums { return true }
            number += 1
        }
        return false
    }

    /// How many stored tensors a side has.
    public func tensorCount(_ side: PatchSide) -> Int { index.tree(side).entries.count }

    /// The files of a side, weights first, and their sizes in bytes.
    public func files(_ side: PatchSide) -> [(name: String, byteCount: Int)] {
        index.tree(side).files.map { ($0.name, $0.size) }
            + index.sideFiles.filter { $0.exists(side) }.map { file in
                if case .takenOver(let size, _) = file.content { return (file.name, size) }
                return (file.name, file.held(side)?.count ?? 0)
            }
    }

    /// Stored bytes of differences, by what they are of.
    public var differenceBytes: (codes: Int, other: Int) {
        var bytes = (codes: 0, other: 0)
        for (number, chunk) in index.chunks.enumerated() {
            if case .codes = index.kind(ofChunk: number) {
                bytes.codes += chunk.storedSize
            } else {
                bytes.other += chunk.storedSize
            }
        }
        return bytes
    }

    /// What ``verify(chunk:)`` can be called with, from several threads if you like: everything in the file but the
    /// header and the index, which opening has checked.
    public var chunkCount: Int { index.chunks.count }

    /// Checks the checksum of a stream and that it decodes to exactly its size. Whether it leads to the right bytes shows
    /// only with the checkpoint.
    ///
    /// - Returns: What is damaged; `nil` when nothing is.
    /// - Throws: ``Tensors/FileError`` when the file cannot be read.
    public func verify(chunk number: Int) throws -> PatchProblem? {
        let size = index.items.byteCount(index.items.chunks[number])
        do {
            try withUnsafeTemporaryAllocation(byteCount: size, alignment: InputFile.bufferAlignment) { bytes in
                bytes.initializeMemory(as: UInt8.self, repeating: 0)
                try decode(chunk: number, result: .target, into: bytes)
            }
        } catch CheckpointError.invalidPatch(_, let problem) {
            return problem
        }
        return nil
    }
}
