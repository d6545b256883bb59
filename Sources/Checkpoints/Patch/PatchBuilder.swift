import Synchronization
import SystemPackage
import Tensors

/// Collects the target's bytes, compares them with the base's and writes the patch.
///
/// Bytes may arrive in any order, in ranges of any size and from several threads; differences are coded on the threads that
/// bring the last byte of a chunk, and the file is the same byte for byte.
final class PatchBuilder: Sendable {
    /// What was found out about a chunk.
    private struct Facts {
        /// Of each member; empty on a side that has none of them.
        var base: [PatchFingerprint] = []
        var target: [PatchFingerprint] = []
    }

    private let output: StagedOutput
    private let file: OutputFile
    private let assembler: ChunkAssembler
    private let sequencer: ChunkSequencer
    private let base: PatchBase
    private let facts = Mutex<[Int: Facts]>([:])

    /// The items that are known from the start. Those of quant states may get other sizes later.
    let items: PatchItems

    /// Bytes that may wait in memory.
    static let standardMemoryLimit = 64 << 20

    /// Creates the staging file.
    ///
    /// - Parameters:
    ///   - target: What is to be described. Its quant states may still change.
    ///   - memoryLimit: Bytes that may wait in memory before a temporary file is used.
    /// - Throws: ``CheckpointError``; ``Tensors/FileError``. Nothing is left behind then.
    init(
        destination: FilePath, base: PatchBase, target: PatchTree, force: Bool,
        memoryLimit: Int = standardMemoryLimit, pieceSizeLog2: Int
    ) throws {
        self.base = base
        items = PatchItems(base: base.tree, target: target, pieceSizeLog2: pieceSizeLog2)
        output = try StagedOutput(destination: destination, kind: .file, force: force)
        let chunked = try ChunkedFile(output, memoryLimit: memoryLimit)
        file = chunked.file
        assembler = chunked.assembler
        sequencer = chunked.sequencer
    }

    var destination: FilePath { output.destination }

    func abandon() { output.abandon() }

    /// Puts the patch in place.
    func commit() throws { try output.commit() }

    /// Takes target bytes of a chunk. When they complete it, its difference is coded.
    ///
    /// - Parameter offset: The first byte, from the start of the chunk.
    func add(_ bytes: UnsafeRawBufferPointer, toChunk chunk: Int, at offset: Int) throws {
        let byteCount = items.byteCount(items.chunks[chunk])
        if bytes.count == byteCount {
            guard assembler.noteWhole(chunk) else { throw ChunkAssembler.writtenTwice }
            return try complete(chunk, of: items, target: bytes)
        }
        if let whole = try assembler.add(bytes, toChunk: chunk, at: offset, of: byteCount) {
            try whole.withBytes { try complete(chunk, of: items, target: $0) }
        }
    }

    /// Codes the difference of a chunk.
    ///
    /// - Parameter target: Its bytes in the target; `nil` when only the base has them.
    func complete(_ number: Int, of items: PatchItems, target: UnsafeRawBufferPointer?) throws {
        let chunk = items.chunks[number]
        let first = items.all[chunk.items[0]]
        var facts = Facts()
        let stream: [UInt8]
        if first.presence == .targetOnly {
            stream = PatchDifference.encode(base: nil, target: target, kind: first.kind)
        } else {
            stream = try withUnsafeTemporaryAllocation(
                byteCount: items.byteCount(chunk), alignment: InputFile.bufferAlignment
            ) { buffer in
                try base.source.pieces.read(chunk, of: items, into: buffer)
                let bytes = UnsafeRawBufferPointer(buffer)
                facts.base = base.fingerprints(of: chunk, in: items, bytes)
                return PatchDifference.encode(base: bytes, target: target, kind: first.kind)
            }
        }
        if let target {
            facts.target =
                stream.isEmpty
                ? facts.base : items.fingerprints(of: chunk, target)
        }
        let found = facts
        self.facts.withLock { $0[number] = found }
        try sequencer.add(stream.isEmpty ? [] : [StreamEncoder.Encoded(method: .stored, bytes: stream)], chunk: number)
    }

    /// Completes the file and syncs it.
    ///
    /// - Parameters:
    ///   - target: The target's final description; all but quant states as at the start.
    ///   - bytes: The target's bytes that have not been added: those of quant states, and any others that came early.
    /// - Throws: ``CheckpointError/incomplete(path:written:expected:)`` when bytes are missing.
    func finish(target: PatchTree, sideFiles: [PatchSideFile], quantState: (String) throws -> [UInt8]) throws {
        let items = PatchItems(base: base.tree, target: target, pieceSizeLog2: items.pieceSizeLog2)
        for number in items.chunks.indices where items.all[items.chunks[number].items[0]].presence == .baseOnly {
            try complete(number, of: items, target: nil)
        }
        for number in items.earlyChunkCount..<items.chunks.count {
            let chunk = items.chunks[number]
            guard items.all[chunk.items[0]].presence != .baseOnly else { continue }
            var bytes: [UInt8] = []
            for item in chunk.items {
                bytes += try quantState(items.all[item].name)[items.range(item, piece: chunk.piece)]
            }
            try bytes.withUnsafeBytes { try complete(number, of: items, target: $0) }
        }
        var index = PatchIndex(base: base.tree, target: target, pieceSizeLog2: items.pieceSizeLog2)
        index.sideFiles = sideFiles
        let streams = sequencer.streams
        let facts = facts.withLock { $0 }
        guard streams.count == items.chunks.count else {
            let sizes = items.chunks.map(items.byteCount)
            throw CheckpointError.incomplete(
                path: output.destination, written: sizes.prefix(streams.count).reduce(0, +),
                expected: sizes.reduce(0, +))
        }
        var digests: [PatchSide: [String: [[UInt8]]]] = [:]
        for (number, chunk) in items.chunks.enumerated() {
            guard let known = facts[number] else { continue }
            let none = [UInt32](repeating: 0, count: chunk.items.count)
            index.chunks.append(
                PatchIndex.Chunk(
                    baseChecksums: known.base.isEmpty ? none : known.base.map(\.checksum),
                    targetChecksums: known.target.isEmpty ? none : known.target.map(\.checksum),
                    storedSize: streams[number].first?.storedSize ?? 0, checksum: streams[number].first?.crc ?? 0))
            for (position, name) in items.names(chunk).enumerated() {
                if !known.base.isEmpty {
                    digests[.base, default: [:]][name, default: []].append(known.base[position].digest)
                }
                if !known.target.isEmpty {
                    digests[.target, default: [:]][name, default: []].append(known.target[position].digest)
                }
            }
        }
        index.baseDigest = PatchDigest.of(base.tree, pieces: digests[.base] ?? [:])
        index.targetDigest = PatchDigest.of(target, pieces: digests[.target] ?? [:])
        try write(index)
        try file.sync()
        try output.checkDestination()
    }

    private func write(_ index: PatchIndex) throws {
        let bytes = index.encoded()
        var header = SealedHeader(PatchFormat.sealed)
        let offset = index.chunks.reduce(SealedHeader.byteCount) { $0 + $1.storedSize }
        guard let stored = header.place(bytes, at: offset, as: PatchFormat.sealed) else {
            throw CheckpointError.unwritable(
                reason: "the headers and changed side files take \(bytes.count) bytes, more than a patch can hold")
        }
        try file.write(stored, at: offset)
        try file.write(header.encoded(as: PatchFormat.sealed), at: 0)
    }
}
