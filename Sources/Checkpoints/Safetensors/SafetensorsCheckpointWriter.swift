import Synchronization
import SystemPackage
import Tensors
import Workers

/// Writes a checkpoint as safetensors: one file when the destination ends in `.safetensors`, else a directory with
/// `model.safetensors`, or shards and their index, and side files. 4-bit tensors are stored as bitsandbytes stores them.
public final class SafetensorsCheckpointWriter: CheckpointWriter {
    private let layout: CheckpointFiles
    private let output: StagedOutput
    private let finishing = OneTimeWork()
    private let directory: FilePath?
    /// By the index of the shard; all of them, or those of a part.
    private let files: [Int: WindowedOutput]
    /// Waits until those beside them are on the disk, while the data is written.
    private let sideFileSync: BackgroundTask<Void>?
    private let isPart: Bool
    private let written = Atomic(0)
    private let offsets = Mutex<[Int: Float]>([:])

    /// Lays everything out, reserves the disk space, and writes side files to the staging directory.
    ///
    /// - Parameters:
    ///   - destination: The file or directory that the checkpoint is to become.
    ///   - tensors: What will be written, with the encodings of the output.
    ///   - metadata: `__metadata__` of every file; `{"format": "pt"}`, which transformers wants, when empty.
    ///   - maximumShardSize: The most bytes of tensors a file; a larger tensor gets a file of its own. `nil`: one file.
    ///   - sideFiles: What else belongs into the directory.
    ///   - force: Whether what stands at the destination is replaced.
    ///   - shards: Write these only, without index; then ``ShardAssembly`` puts them together with the others.
    /// - Throws: ``CheckpointError`` when the destination may not be written or the tensors cannot be;
    ///   ``Tensors/FileError``, with `noSpace` when the disk cannot hold the checkpoint. Nothing is left behind then.
    public convenience init(
        destination: FilePath, tensors: [LogicalTensor], metadata: [String: String] = [:], maximumShardSize: Int? = nil,
        sideFiles: [SideFile] = [], force: Bool = false, shards: Range<Int>? = nil
    ) throws {
        try self.init(
            destination: destination,
            layout: CheckpointFiles(tensors: tensors, metadata: metadata, maximumShardSize: maximumShardSize),
            sideFiles: sideFiles, force: force, shards: shards)
    }

    /// The same, of a layout that other writers may have too.
    package init(
        destination: FilePath, layout: CheckpointFiles, sideFiles: [SideFile], force: Bool, shards: Range<Int>? = nil
    ) throws {
        let isFile = SafetensorsCheckpointWriter.isSingleFile(destination)
        guard !isFile || (!layout.hasShards && sideFiles.isEmpty) else {
            throw CheckpointError.unusableDestination(
                path: destination,
                reason: "shards and side files need a directory; give a path that does not end in .safetensors")
        }
        self.layout = layout
        let output = try StagedOutput(destination: destination, kind: isFile ? .file : .directory, force: force)
        do {
            var files: [Int: WindowedOutput] = [:]
            for index in shards ?? layout.writers.indices {
                let writer = layout.writers[index]
                files[index] = try writer.start(at: isFile ? output.path : output.path.appending(writer.name))
            }
            self.files = files
            let written = try sideFiles.map { try $0.write(to: output.path) }
            sideFileSync = written.isEmpty ? nil : BackgroundTask { try SideFile.sync(written) }
        } catch {
            output.abandon()
            throw error
        }
        self.output = output
        isPart = shards != nil
        directory = isFile ? nil : output.path
    }

    /// Whether a destination means one file instead of a directory.
    public static func isSingleFile(_ destination: FilePath) -> Bool { destination.extension == "safetensors" }

    public func write(_ bytes: UnsafeRawBufferPointer, part: TensorPart, ofTensor tensor: Int, at offset: Int) throws {
        let (output, start) = try place(of: part, ofTensor: tensor, at: offset, count: bytes.count)
        try output.write(bytes, at: start)
        written.add(bytes.count, ordering: .relaxed)
    }

    public func write(
        part: TensorPart, ofTensor tensor: Int, at offset: Int, using buffer: UnsafeMutableRawBufferPointer,
        fill: (_ room: UnsafeMutableRawBufferPointer, _ first: Int) throws -> Void
    ) throws {
        let (output, start) = try place(of: part, ofTensor: tensor, at: offset, count: buffer.count)
        try output.write(count: buffer.count, at: start, fill: fill)
        written.add(buffer.count, ordering: .relaxed)
    }

    /// Where bytes of a part go.
    private func place(
        of part: TensorPart, ofTensor tensor: Int, at offset: Int, count: Int
    ) throws(CheckpointError) -> (output: WindowedOutput, start: Int) {
        let file = layout.fileOfTensor[tensor]
        let location = layout.writers[file].location(of: part, ofTensor: tensor)
        guard let location, offset >= 0, offset <= location.byteCount, count <= location.byteCount - offset else {
            throw .outOfRange(
                tensor: layout.tensors[tensor].name, part: part, range: offset..<max(offset, offset &+ count),
                byteCount: location?.byteCount ?? 0)
        }
        guard let output = files[file] else {
            throw .unwritable(reason: "tensor \"\(layout.tensors[tensor].name)\" belongs to a shard of another part")
        }
        return (output, location.offset + offset)
    }

    public func setDoubleQuantizationOffset(_ offset: Float, ofTensor tensor: Int) throws {
        try layout.checkOffset(offset, ofTensor: tensor)
        offsets.withLock { $0[tensor] = offset }
    }

    public func finish() throws {
        try finishing.run(complete)
    }

    private func complete() throws {
        let expected = files.keys.reduce(0) { $0 + layout.writers[$1].expectedBytes }
        let written = written.load(ordering: .sequentiallyConsistent)
        guard written == expected else {
            throw CheckpointError.incomplete(path: output.destination, written: written, expected: expected)
        }
        let quantStates = try layout.quantStates(offsets: offsets.withLock { $0 }, ofFiles: Set(files.keys))
        var totalSize = 0
        for (index, file) in files.sorted(by: { $0.key < $1.key }) {
            totalSize += try layout.writers[index].complete(file, quantStates: quantStates[index])
        }
        var unsynced = files.values.map(\.file)
        if let directory, !isPart, let bytes = layout.indexBytes(totalSize: totalSize) {
            unsynced.append(try SideFile(name: ModelFiles.index, content: .bytes(bytes)).write(to: directory).file)
        }
        try OutputFile.sync(unsynced)
        try sideFileSync?.finish()
        try output.checkDestination()
    }

    public func commit() throws {
        try finish()
        try output.commit()
    }

    public func abandon() {
        output.abandon()
    }
}
