import Synchronization
import SystemPackage
import Tensors

/// Writes a patch that leads from a checkpoint to the one that ``SafetensorsCheckpointWriter`` would write from the same
/// arguments.
public final class PatchWriter: CheckpointWriter {
    private let builder: PatchBuilder
    private let finishing = OneTimeWork()
    private let files: CheckpointFiles
    private let sideFiles: [PatchSideFile.Named]
    private let base: PatchBase
    private let places: [[TensorPart: Place]]
    private let offsets = Mutex<[Int: Float]>([:])

    /// Where a part of a tensor goes: its first chunk, and the place in it when it shares one.
    private struct Place {
        let firstChunk: Int
        let start: Int
        let byteCount: Int
    }

    /// Lays everything out and creates the staging file.
    ///
    /// - Parameters:
    ///   - destination: The file that the patch is to become.
    ///   - base: The checkpoint from which the patch leads.
    ///   - tensors, metadata, maximumShardSize, sideFiles: The checkpoint to which it leads, a directory.
    ///   - memoryLimit: Bytes that may wait in memory before a temporary file is used.
    /// - Throws: ``CheckpointError``, also when the base is a container; ``Tensors/FileError``. Nothing is left behind then.
    public convenience init(
        destination: FilePath, base: ModelDirectory, tensors: [LogicalTensor], metadata: [String: String] = [:],
        maximumShardSize: Int? = nil, sideFiles: [SideFile] = [], memoryLimit: Int = 64 << 20, force: Bool = false
    ) throws {
        try self.init(
            destination: destination, base: PatchBase(base),
            files: CheckpointFiles(tensors: tensors, metadata: metadata, maximumShardSize: maximumShardSize),
            sideFiles: sideFiles, memoryLimit: memoryLimit, force: force)
    }

    /// The same, of what other patches may have been made of before.
    package init(
        destination: FilePath, base: PatchBase, files: CheckpointFiles, sideFiles: [SideFile], memoryLimit: Int,
        force: Bool
    ) throws {
        self.base = base
        self.files = files
        self.sideFiles = try sideFiles.map { try PatchSideFile.Named($0) }
        let target = try files.tree(quantStates: nil)
        builder = try PatchBuilder(
            destination: destination, base: base, target: target, force: force, memoryLimit: memoryLimit,
            pieceSizeLog2: PatchFormat.standardPieceSizeLog2)
        let byName = PatchWriter.firstPlaces(builder.items)
        places = files.pieceNames.map { names in names.compactMapValues { byName[$0] } }
        do {
            for (name, bytes) in files.writers.flatMap(\.constantPieces) {
                // Quant states come at the end.
                guard BitsAndBytesNames.splitQuantState(name) == nil, let place = byName[name] else { continue }
                try bytes.withUnsafeBytes { try add($0, at: 0, place) }
            }
        } catch {
            builder.abandon()
            throw error
        }
    }

    /// Where each of the target's early items goes.
    private static func firstPlaces(_ items: PatchItems) -> [String: Place] {
        var places: [String: Place] = [:]
        for (number, chunk) in items.chunks.enumerated() where chunk.piece == 0 {
            var start = 0
            for item in chunk.items {
                let byteCount = items.all[item].byteCount
                if items.all[item].place(.target) != nil {
                    places[items.all[item].name] = Place(firstChunk: number, start: start, byteCount: byteCount)
                }
                start += byteCount
            }
        }
        return places
    }

    public func write(_ bytes: UnsafeRawBufferPointer, part: TensorPart, ofTensor tensor: Int, at offset: Int) throws {
        let place = places[tensor][part]
        let byteCount = files.tensors[tensor].byteCount(of: part)
        guard offset >= 0, offset <= byteCount, bytes.count <= byteCount - offset else {
            throw CheckpointError.outOfRange(
                tensor: files.tensors[tensor].name, part: part, range: offset..<max(offset, offset &+ bytes.count),
                byteCount: byteCount)
        }
        guard let place, !bytes.isEmpty else { return }
        try add(bytes, at: offset, place)
    }

    private func add(_ bytes: UnsafeRawBufferPointer, at offset: Int, _ place: Place) throws {
        let pieceSize = 1 << builder.items.pieceSizeLog2
        var done = 0
        while done < bytes.count {
            let piece = (offset + done) / pieceSize
            let inPiece = offset + done - piece * pieceSize
            let count = min(bytes.count - done, pieceSize - inPiece)
            try builder.add(
                UnsafeRawBufferPointer(rebasing: bytes[done..<done + count]), toChunk: place.firstChunk + piece,
                at: place.start + inPiece)
            done += count
        }
    }

    public func setDoubleQuantizationOffset(_ offset: Float, ofTensor tensor: Int) throws {
        try files.checkOffset(offset, ofTensor: tensor)
        offsets.withLock { $0[tensor] = offset }
    }

    public func finish() throws {
        try finishing.run(complete)
    }

    private func complete() throws {
        let quantStates = try files.quantStates(offsets: offsets.withLock { $0 })
        let target = try files.tree(quantStates: quantStates)
        var texts: [String: [UInt8]] = [:]
        for (file, writer) in files.writers.enumerated() {
            for (name, bytes) in writer.constantPieces { texts[name] = bytes }
            for (name, bytes) in writer.pieces(quantStates[file]) { texts[name] = bytes }
        }
        var targetFiles = sideFiles
        var heldNames: Set<String> = []
        if let bytes = files.indexBytes(totalSize: target.files.reduce(0) { $0 + $1.size - 8 - $1.header.count }) {
            targetFiles.append(
                try PatchSideFile.Named(SideFile(name: ModelFiles.index, content: .bytes(bytes))))
            heldNames.insert(ModelFiles.index)
        }
        if let index = base.source.shardIndex { heldNames.insert(index.name) }
        try builder.finish(
            target: target,
            sideFiles: PatchSideFile.pairs(
                base: base.source.allFiles, target: targetFiles,
                isHeld: heldNames.contains)
        ) { texts[$0] ?? [] }
    }

    public func commit() throws {
        try finish()
        try builder.commit()
    }

    public func abandon() { builder.abandon() }
}
