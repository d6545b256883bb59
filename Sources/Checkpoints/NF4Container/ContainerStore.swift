import SystemPackage
import Tensors

/// An open container: finds and decodes the streams of items.
final class ContainerStore: Sendable {
    /// Decoded streams that are kept for reads of parts of them.
    private static let cacheLimit = 16 << 20

    let file: InputFile
    let header: SealedHeader
    let index: ContainerIndex
    private let places: [ItemPlace]
    private struct StreamKey: Hashable, Sendable {
        let chunk: Int
        let part: TensorPart
    }
    private let cache = DecodedCache<StreamKey>(limit: ContainerStore.cacheLimit)

    init(path: FilePath) throws {
        file = try InputFile(path: path)
        do {
            header = try SealedHeader(of: file, as: NF4ContainerFormat.sealed)
            index = try ContainerStore.readIndex(file, header)
        } catch let problem as SealedFileProblem {
            throw CheckpointError.invalidContainer(file: path, problem: .file(problem))
        }
        places = ItemPlace.places(index)
    }

    private static func readIndex(_ file: InputFile, _ header: SealedHeader) throws -> ContainerIndex {
        let index = try ContainerIndex(
            header.readIndex(of: file), aligned: header.isAligned, dataEnd: Int(header.indexOffset))
        guard header.hasAdapters == !index.adapters.isEmpty else {
            throw SealedFileProblem.invalidIndex(reason: "header and index disagree about adapters")
        }
        return index
    }

    // MARK: - Items

    func bytes(ofItem item: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: index.items[item].byteCount(of: .values))
        try bytes.withUnsafeMutableBytes { try read(.values, ofItem: item, at: 0, into: $0) }
        return bytes
    }

    func read(_ part: TensorPart, ofItem item: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        let tensor = index.items[item]
        let byteCount = tensor.byteCount(of: part)
        guard offset >= 0, offset <= byteCount, buffer.count <= byteCount - offset else {
            throw CheckpointError.outOfRange(
                tensor: tensor.name, part: part, range: offset..<max(offset, offset &+ buffer.count),
                byteCount: byteCount)
        }
        guard !buffer.isEmpty, let firstChunk = places[item].firstChunk else { return }
        let pieceSize = PieceGeometry(tensor.encoding, pieceSizeLog2: index.pieceSizeLog2)
            .byteCount(of: part, tensor.encoding)
        var done = 0
        while done < buffer.count {
            let position = offset + done
            let piece = position / pieceSize
            let inPiece = position - piece * pieceSize
            let count = min(buffer.count - done, pieceSize - inPiece)
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<(done + count)])
            let start = inPiece + places[item].start(of: part)
            try read(part, ofChunk: firstChunk + piece, at: start, into: target)
            done += count
        }
    }

    // MARK: - Chunks

    private func read(
        _ part: TensorPart, ofChunk number: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        let (stream, byteCount) = stream(part, ofChunk: number)
        guard let stream else { return }
        if buffer.count == byteCount { return try decode(stream, part, ofChunk: number, into: buffer) }
        // Uncompressed ones, too: their checksum is of the whole.
        let bytes = try decodedBytes(part, ofChunk: number)
        bytes.withUnsafeBytes {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<(offset + buffer.count)]))
        }
    }

    private func stream(_ part: TensorPart, ofChunk number: Int) -> (StoredStream?, byteCount: Int) {
        let chunk = index.chunks[number]
        guard let position = chunk.parts.firstIndex(where: { $0.part == part }) else { return (nil, 0) }
        return (chunk.streams[position], chunk.parts[position].byteCount)
    }

    /// A whole stream, decoded, through the cache.
    private func decodedBytes(_ part: TensorPart, ofChunk number: Int) throws -> [UInt8] {
        let (stream, byteCount) = stream(part, ofChunk: number)
        guard let stream else { return [] }
        return try cache.bytes(StreamKey(chunk: number, part: part), byteCount: byteCount) {
            // Decoding fills it, or fails.
            try [UInt8](unsafeUninitializedCapacity: byteCount) { bytes, initializedCount in
                try decode(stream, part, ofChunk: number, into: UnsafeMutableRawBufferPointer(bytes))
                initializedCount = byteCount
            }
        }
    }

    /// Reads a stream, checks it and decodes it.
    ///
    /// - Throws: ``CheckpointError/invalidContainer(file:problem:)`` with the damage.
    func decode(
        _ stream: StoredStream, _ part: TensorPart, ofChunk number: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        let chunk = index.chunks[number]
        func damage(_ reason: NF4ContainerDamage.Reason) -> CheckpointError {
            let damage = NF4ContainerDamage(
                kind: index.section(of: chunk.items[0]), names: chunk.items.map { index.items[$0].name }, part: part,
                piece: chunk.piece, reason: reason)
            return .invalidContainer(file: file.path, problem: .damagedData(damage))
        }
        if stream.method == .stored {
            try file.read(into: buffer, at: stream.offset)
            guard Zlib.crc32(UnsafeRawBufferPointer(buffer)) == stream.crc else { throw damage(.checksum) }
            return
        }
        try withUnsafeTemporaryAllocation(byteCount: stream.storedSize, alignment: InputFile.bufferAlignment) {
            stored in
            try file.read(into: stored, at: stream.offset)
            let stored = UnsafeRawBufferPointer(stored)
            guard Zlib.crc32(stored) == stream.crc else { throw damage(.checksum) }
            let isWhole: Bool
            if stream.method == .deflateByScale {
                let scales = try decodedBytes(.absmax, ofChunk: number)
                let width = index.items[chunk.items[0]].planeWidth(of: .absmax)
                isWhole = StreamDecoder.decodeCodes(
                    stored, offsets: chunk.blockOffsets(index),
                    order: scales.withUnsafeBytes { ScaleOrder.order($0, width: width) }, into: buffer)
            } else {
                isWhole = StreamDecoder.decode(
                    stored, method: stream.method, planeWidth: index.items[chunk.items[0]].planeWidth(of: part),
                    into: buffer)
            }
            guard isWhole else { throw damage(.contents) }
        }
    }
}
