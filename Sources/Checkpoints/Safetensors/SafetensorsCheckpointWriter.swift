import LosslessJSON
import OrderedCollections
import Synchronization
import SystemPackage
import Tensors

/// Writes a checkpoint as safetensors: one file when the destination ends in `.safetensors`, else a directory with
/// `model.safetensors`, or shards and their index, and side files. 4-bit tensors are stored as bitsandbytes stores them.
public final class SafetensorsCheckpointWriter: CheckpointWriter {
    private let tensors: [LogicalTensor]
    private let output: StagedOutput
    private let directory: FilePath?
    private let writers: [SafetensorsFileWriter]
    private let files: [OutputFile]
    /// For each tensor the index of its file.
    private let fileOfTensor: [Int]
    private let written = Atomic(0)
    private let offsets: Mutex<[Int: Float]>

    /// Lays everything out, reserves the disk space, and writes headers, tables and side files to the staging directory.
    ///
    /// - Parameters:
    ///   - destination: The file or directory that the checkpoint is to become.
    ///   - tensors: What will be written, with the encodings of the output.
    ///   - metadata: `__metadata__` of every file; `{"format": "pt"}`, which transformers wants, when empty.
    ///   - maximumShardSize: The most bytes of tensors a file; a larger tensor gets a file of its own. `nil`: one file.
    ///   - sideFiles: What else belongs into the directory.
    ///   - force: Whether what stands at the destination is replaced.
    /// - Throws: ``CheckpointError`` when the destination may not be written or the tensors cannot be;
    ///   ``Tensors/FileError``, with `noSpace` when the disk cannot hold the checkpoint. Nothing is left behind then.
    public init(
        destination: FilePath, tensors: [LogicalTensor], metadata: [String: String] = [:], maximumShardSize: Int? = nil,
        sideFiles: [SideFile] = [], force: Bool = false
    ) throws {
        let isFile = SafetensorsCheckpointWriter.isSingleFile(destination)
        if let size = maximumShardSize, size <= 0 {
            throw CheckpointError.unwritable(reason: "the largest shard size must be at least 1 byte, found \(size)")
        }
        guard !isFile || (maximumShardSize == nil && sideFiles.isEmpty) else {
            throw CheckpointError.unusableDestination(
                path: destination,
                reason: "shards and side files need a directory; give a path that does not end in .safetensors")
        }
        let metadata = metadata.isEmpty ? ["format": "pt"] : metadata
        let pieces = try tensors.map { tensor throws(CheckpointError) in try tensor.plannedPieces() }
        let plan = ShardPlan(
            byteCounts: pieces.map { $0.reduce(0) { $0 + $1.piece.byteCount } }, maximumShardSize: maximumShardSize)
        try SafetensorsCheckpointWriter.checkNames(pieces)

        let output = try StagedOutput(destination: destination, kind: isFile ? .file : .directory, force: force)
        do {
            let paths = isFile ? [output.path] : plan.fileNames.map { output.path.appending($0) }
            writers = try zip(paths, plan.shards).map { path, shard in
                try SafetensorsFileWriter(
                    path: path, tensors: shard.map { ($0, pieces[$0]) }, metadata: metadata)
            }
            files = try writers.map { try $0.start() }
            for sideFile in sideFiles { try sideFile.write(to: output.path) }
        } catch {
            output.abandon()
            throw error
        }
        var fileOfTensor = [Int](repeating: 0, count: tensors.count)
        for (file, shard) in plan.shards.enumerated() {
            for tensor in shard { fileOfTensor[tensor] = file }
        }
        self.fileOfTensor = fileOfTensor
        self.output = output
        self.tensors = tensors
        directory = isFile ? nil : output.path
        offsets = Mutex([:])
    }

    /// Whether a destination means one file instead of a directory.
    public static func isSingleFile(_ destination: FilePath) -> Bool { destination.extension == "safetensors" }

    public func write(_ bytes: UnsafeRawBufferPointer, part: TensorPart, ofTensor tensor: Int, at offset: Int) throws {
        let file = fileOfTensor[tensor]
        let location = writers[file].location(of: part, ofTensor: tensor)
        guard let location, offset >= 0, offset <= location.byteCount, bytes.count <= location.byteCount - offset else {
            throw CheckpointError.outOfRange(
                tensor: tensors[tensor].name, part: part, range: offset..<max(offset, offset &+ bytes.count),
                byteCount: location?.byteCount ?? 0)
        }
        try files[file].write(bytes, at: location.offset + offset)
        written.add(bytes.count, ordering: .relaxed)
    }

    public func setDoubleQuantizationOffset(_ offset: Float, ofTensor tensor: Int) throws {
        guard offset.isFinite else {
            throw CheckpointError.unwritable(
                reason:
                    "tensor \"\(tensors[tensor].name)\": the mean of its scales is \(offset); it holds NaN or infinity")
        }
        offsets.withLock { $0[tensor] = offset }
    }

    public func commit() throws {
        guard !output.isCommitted else { return }
        let expected = writers.reduce(0) { $0 + $1.expectedBytes }
        let written = written.load(ordering: .sequentiallyConsistent)
        guard written == expected else {
            throw CheckpointError.incomplete(path: output.destination, written: written, expected: expected)
        }
        let offsets = offsets.withLock { $0 }
        var totalSize = 0
        for (writer, file) in zip(writers, files) {
            var quantStates: [Int: [UInt8]] = [:]
            for pending in writer.pending {
                quantStates[pending.piece] = try quantState(ofTensor: pending.tensor, offset: offsets[pending.tensor])
            }
            totalSize += try writer.complete(file, quantStates: quantStates)
        }
        if let directory, writers.count > 1 { try writeIndex(in: directory, totalSize: totalSize) }
        try output.commit()
    }

    public func abandon() {
        output.abandon()
    }

    private func quantState(ofTensor tensor: Int, offset: Float?) throws(CheckpointError) -> [UInt8] {
        let description = tensors[tensor]
        guard let offset, var quantization = description.encoding.blockQuantization,
            quantization.doubleQuantization != nil
        else {
            throw .unwritable(reason: "tensor \"\(description.name)\": the mean of its scales was never told")
        }
        quantization.doubleQuantization?.offset = offset
        return QuantState(quantization, shape: description.shape)?.encoded() ?? []
    }

    /// `model.safetensors.index.json` as transformers writes it.
    private func writeIndex(in directory: FilePath, totalSize: Int) throws(FileError) {
        let pairs = writers.flatMap { writer in
            writer.pieceNames.map { ($0, JSONValue.string(writer.path.lastComponent?.string ?? "")) }
        }
        let sorted = pairs.sorted { $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }
        let index: JSONValue = [
            "metadata": [
                "total_parameters": .int(tensors.reduce(0) { $0 + $1.elementCount }), "total_size": .int(totalSize),
            ],
            "weight_map": .object(OrderedDictionary(uniqueKeysWithValues: sorted)),
        ]
        try SideFile(name: ModelFiles.index, content: .bytes(Array((index.serialized(.pythonIndented) + "\n").utf8)))
            .write(to: directory)
    }

    /// A tensor's pieces must not take another's name, in whatever shard that is.
    private static func checkNames(_ pieces: [[PlannedPiece]]) throws(CheckpointError) {
        var names: Set<String> = []
        for piece in pieces.joined() where !names.insert(piece.piece.name).inserted {
            throw .unwritable(reason: "two tensors would be named \"\(piece.piece.name)\"")
        }
    }
}
