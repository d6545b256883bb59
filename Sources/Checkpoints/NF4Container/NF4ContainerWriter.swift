import LosslessJSON
import Synchronization
import SystemPackage
import Tensors

/// Writes an NF4 container (formats/nf4-container.md).
///
/// Data may arrive in any order, in ranges of any size and from several threads; it is compressed on the threads that
/// bring it, and the file is the same byte for byte. Whole pieces (``pieceElements(ofTensor:)``) of dense tensors are
/// compressed where they lie; everything else is collected first. What has to wait stays in memory up to a limit and goes
/// to a temporary file beyond it.
public final class NF4ContainerWriter: CheckpointWriter {
    public enum Compression: String, CaseIterable, Hashable, Sendable {
        /// Whatever makes it smaller, readable with any inflate.
        case zlib
        /// Nothing is compressed, and the parts of tensors are aligned to 64 bytes: the file can be memory-mapped.
        case none
    }

    private let index: ContainerIndex
    private let compression: Compression
    private let sideFiles: [SideFile]
    private let output: StagedOutput
    private let finishing = OneTimeWork()
    private let file: OutputFile
    private let assembler: ChunkAssembler
    private let sequencer: ChunkSequencer
    private let places: [ItemPlace]

    private struct Late {
        var offsets: [Int: Float] = [:]
        var provenance: JSONValue?
        var alignedStreams: [Int: [StoredStream]] = [:]
    }
    private let late = Mutex(Late())

    /// Bytes that may wait in memory.
    public static let standardMemoryLimit = 64 << 20

    /// Checks what is to be written and creates the staging file.
    ///
    /// - Parameters:
    ///   - destination: The file that the container is to become.
    ///   - tensors: The model's tensors, with the encodings of the output.
    ///   - metadata: String metadata of the model (safetensors' `__metadata__`).
    ///   - sideFiles: Files of the model directory that travel inside.
    ///   - adapters: Adapters that travel inside; their data comes with ``writeAdapter(_:adapter:tensor:at:)``.
    ///   - memoryLimit: Bytes that may wait in memory before a temporary file is used.
    ///   - force: Whether what stands at the destination is replaced.
    /// - Throws: ``CheckpointError``; ``Tensors/FileError``. Nothing is left behind then.
    public convenience init(
        destination: FilePath, tensors: [LogicalTensor], metadata: [String: String] = [:], sideFiles: [SideFile] = [],
        adapters: [NF4ContainerAdapter] = [], compression: Compression = .zlib,
        memoryLimit: Int = standardMemoryLimit, force: Bool = false
    ) throws {
        try self.init(
            destination: destination, tensors: tensors, metadata: metadata, sideFiles: sideFiles, adapters: adapters,
            compression: compression, memoryLimit: memoryLimit, force: force,
            pieceSizeLog2: NF4ContainerFormat.standardPieceSizeLog2)
    }

    package init(
        destination: FilePath, tensors: [LogicalTensor], metadata: [String: String], sideFiles: [SideFile],
        adapters: [NF4ContainerAdapter], compression: Compression, memoryLimit: Int, force: Bool, pieceSizeLog2: Int
    ) throws {
        var index = ContainerIndex()
        index.pieceSizeLog2 = pieceSizeLog2
        index.items = tensors + adapters.flatMap(\.tensors)
        index.modelCount = tensors.count
        index.adapterTensorCount = index.items.count - tensors.count
        index.metadata = metadata
        index.adapters = adapters
        try index.checkWritable(sideFiles: sideFiles)
        for range in [index.modelRange, index.adapterRange] {
            index.chunks += index.plannedChunks(range, groupsSmallItems: compression == .zlib)
        }
        if compression == .none { index.addStoredStreams() }
        places = ItemPlace.places(index)
        self.index = index
        self.compression = compression
        self.sideFiles = sideFiles
        output = try StagedOutput(destination: destination, kind: .file, force: force)
        let chunked = try ChunkedFile(output, memoryLimit: memoryLimit)
        file = chunked.file
        assembler = chunked.assembler
        sequencer = chunked.sequencer
    }

    /// Elements of a tensor that are compressed together.
    public func pieceElements(ofTensor tensor: Int) -> Int {
        let item = index.items[tensor]
        let size = PieceGeometry(item.encoding, pieceSizeLog2: index.pieceSizeLog2)
            .byteCount(of: item.mainPart, item.encoding)
        return size * 8 / (item.encoding.denseDType?.bits ?? 4)
    }

    // MARK: - Data

    public func write(_ bytes: UnsafeRawBufferPointer, part: TensorPart, ofTensor tensor: Int, at offset: Int) throws {
        try write(bytes, part: part, ofItem: tensor, at: offset)
    }

    /// Writes bytes of an adapter's tensor.
    ///
    /// - Parameters:
    ///   - adapter: Index into the adapters the writer was made with.
    ///   - tensor: Index into that adapter's tensors.
    ///   - offset: The first byte, from the start of the tensor.
    public func writeAdapter(_ bytes: UnsafeRawBufferPointer, adapter: Int, tensor: Int, at offset: Int) throws {
        let firstItem = index.adapters[..<adapter].reduce(index.modelCount) { $0 + $1.tensors.count }
        try write(bytes, part: .values, ofItem: firstItem + tensor, at: offset)
    }

    public func setDoubleQuantizationOffset(_ offset: Float, ofTensor tensor: Int) throws {
        guard offset.isFinite else {
            throw CheckpointError.unwritable(
                reason:
                    "tensor \"\(index.items[tensor].name)\": the mean of its scales is \(offset); it holds NaN or infinity"
            )
        }
        late.withLock { $0.offsets[tensor] = offset }
    }

    /// Tells where the contents come from: a JSON object with input fingerprints, the normalized specification, versions
    /// and seeds. May come at any time before ``commit()``.
    public func setProvenance(_ provenance: JSONValue) {
        late.withLock { $0.provenance = provenance }
    }

    private func write(_ bytes: UnsafeRawBufferPointer, part: TensorPart, ofItem item: Int, at offset: Int) throws {
        let tensor = index.items[item]
        let byteCount = tensor.byteCount(of: part)
        guard offset >= 0, offset <= byteCount, bytes.count <= byteCount - offset else {
            throw CheckpointError.outOfRange(
                tensor: tensor.name, part: part, range: offset..<max(offset, offset &+ bytes.count),
                byteCount: byteCount)
        }
        guard !bytes.isEmpty, let firstChunk = places[item].firstChunk else { return }
        let pieceSize = PieceGeometry(tensor.encoding, pieceSizeLog2: index.pieceSizeLog2)
            .byteCount(of: part, tensor.encoding)
        var done = 0
        while done < bytes.count {
            let piece = (offset + done) / pieceSize
            let inPiece = offset + done - piece * pieceSize
            let count = min(bytes.count - done, pieceSize - inPiece)
            let source = UnsafeRawBufferPointer(rebasing: bytes[done..<(done + count)])
            let start = inPiece + places[item].start(of: part)
            try add(source, toChunk: firstChunk + piece, part, at: start)
            done += count
        }
    }

    private func add(_ bytes: UnsafeRawBufferPointer, toChunk number: Int, _ part: TensorPart, at offset: Int) throws {
        let chunk = index.chunks[number]
        if bytes.count == chunk.byteCount {
            guard assembler.noteWhole(number) else { throw ChunkAssembler.writtenTwice }
            return try complete(number, bytes)
        }
        let before = chunk.parts.prefix { $0.part != part }.reduce(0) { $0 + $1.byteCount }
        if let whole = try assembler.add(bytes, toChunk: number, at: before + offset, of: chunk.byteCount) {
            try whole.withBytes { try complete(number, $0) }
        }
    }

    /// Compresses a chunk whose parts lie one after the other, and sends it on its way into the file.
    private func complete(_ number: Int, _ bytes: UnsafeRawBufferPointer) throws {
        let chunk = index.chunks[number]
        var contents: [UnsafeRawBufferPointer] = []
        var start = 0
        for part in chunk.parts {
            contents.append(UnsafeRawBufferPointer(rebasing: bytes[start..<(start + part.byteCount)]))
            start += part.byteCount
        }
        guard compression == .zlib else {
            let streams = try zip(contents, chunk.streams).map { bytes, placed in
                var stream = placed
                stream.crc = Zlib.crc32(bytes)
                try file.write(bytes, at: stream.offset)
                return stream
            }
            return late.withLock { $0.alignedStreams[number] = streams }
        }
        let first = index.items[chunk.items[0]]
        let encoded = chunk.parts.indices.map { position in
            guard chunk.parts[position].part == .codes, contents.count > 1 else {
                return StreamEncoder.encode(
                    contents[position], planeWidth: first.planeWidth(of: chunk.parts[position].part))
            }
            // The scales follow the codes.
            let order = ScaleOrder.order(contents[position + 1], width: first.planeWidth(of: .absmax))
            return StreamEncoder.encodeCodes(contents[position], offsets: chunk.blockOffsets(index), order: order)
        }
        try sequencer.add(encoded, chunk: number)
    }

    // MARK: - The end

    public func finish() throws {
        try finishing.run(complete)
    }

    private func complete() throws {
        var index = self.index
        let late = late.withLock { $0 }
        try index.setOffsets(late.offsets)
        let streams =
            compression == .zlib ? sequencer.streams : index.chunks.indices.compactMap { late.alignedStreams[$0] }
        guard streams.count == index.chunks.count else { throw incomplete(index, chunksWritten: streams.count) }
        for chunk in index.chunks.indices { index.chunks[chunk].streams = streams[chunk] }
        let dataEnd = try append(try byteStrings(late.provenance), to: &index)
        try writeIndex(index, at: dataEnd)
        try file.sync()
        try output.checkDestination()
    }

    public func commit() throws {
        try finish()
        try output.commit()
    }

    public func abandon() {
        output.abandon()
    }

    private func incomplete(_ index: ContainerIndex, chunksWritten: Int) -> CheckpointError {
        let sizes = index.chunks.map(\.byteCount)
        return .incomplete(
            path: output.destination, written: sizes.prefix(chunksWritten).reduce(0, +), expected: sizes.reduce(0, +))
    }

    private struct ByteString {
        let name: String
        let bytes: [UInt8]
    }

    /// Side files, then the provenance if there is one.
    private func byteStrings(_ provenance: JSONValue?) throws -> (sideFiles: [ByteString], provenance: ByteString?) {
        let files = try sideFiles.map { ByteString(name: $0.name.string, bytes: try $0.bytes()) }
        let provenance = provenance.map { ByteString(name: "", bytes: Array($0.serialized().utf8)) }
        for string in files + (provenance.map { [$0] } ?? [])
        where string.bytes.count > NF4ContainerFormat.maximumSideFileSize {
            throw CheckpointError.unwritable(
                reason:
                    "\"\(string.name)\" has \(string.bytes.count) bytes; a container takes side files of up to \(NF4ContainerFormat.maximumSideFileSize)"
            )
        }
        return (files, provenance)
    }

    /// Adds the byte strings as items, and writes their chunks behind those that are there.
    ///
    /// - Returns: Where the data ends.
    private func append(
        _ strings: (sideFiles: [ByteString], provenance: ByteString?), to index: inout ContainerIndex
    ) throws -> Int {
        let all = strings.sideFiles + (strings.provenance.map { [$0] } ?? [])
        index.sideFileCount = strings.sideFiles.count
        index.hasProvenance = strings.provenance != nil
        let firstItem = index.items.count
        index.items += all.map { ContainerIndex.blob($0.name, byteCount: $0.bytes.count) }
        let firstChunk = index.chunks.count
        for range in [index.sideFileRange, index.sideFileRange.upperBound..<index.items.count] {
            index.chunks += index.plannedChunks(range, groupsSmallItems: compression == .zlib)
        }
        let encoded = index.chunks[firstChunk...].map { chunk in
            let bytes = chunk.items.flatMap { item in
                all[item - firstItem].bytes[
                    index.items[item].range(of: .values, piece: chunk.piece, pieceSizeLog2: index.pieceSizeLog2)]
            }
            return bytes.withUnsafeBytes {
                compression == .zlib ? StreamEncoder.encodeText($0) : StreamEncoder.stored($0)
            }
        }
        for (number, stream) in zip(firstChunk..., encoded) {
            index.chunks[number].streams = [
                StoredStream(method: stream.method, storedSize: stream.bytes.count, crc: Zlib.crc32(stream.bytes))
            ]
        }
        guard let dataEnd = index.placeStreams(aligned: compression == .none) else {
            throw CheckpointError.unwritable(reason: "the container would be larger than any file")
        }
        for (number, stream) in zip(firstChunk..., encoded) {
            try file.write(stream.bytes, at: index.chunks[number].streams[0].offset)
        }
        return dataEnd
    }

    private func writeIndex(_ index: ContainerIndex, at offset: Int) throws {
        var header = SealedHeader(NF4ContainerFormat.sealed)
        if compression == .none { header.requiredFeatures |= NF4ContainerFormat.alignedFeature }
        if !index.adapters.isEmpty { header.requiredFeatures |= NF4ContainerFormat.adaptersFeature }
        guard let stored = header.place(index.encoded(), at: offset, as: NF4ContainerFormat.sealed) else {
            throw CheckpointError.unwritable(
                reason: "the index of \(index.items.count) tensors is larger than a container can hold")
        }
        try file.write(stored, at: offset)
        try file.write(header.encoded(as: NF4ContainerFormat.sealed), at: 0)
    }
}
