import SystemPackage
import Tensors

/// A checkpoint in one safetensors file, or in shards with an index; bitsandbytes' 4-bit weights in it are logical
/// tensors.
///
/// Tensors stand in the order of the files' data, shards by name. Opening reads headers, and the small tables of 4-bit
/// weights.
public struct SafetensorsCheckpoint: CheckpointReader {
    public let tensors: [LogicalTensor]
    /// `__metadata__` of all files together; where two disagree the first file's value stands.
    public let metadata: [String: String]
    /// The safetensors files, then the index if there is one.
    public let files: [FilePath]
    /// A quantization that is stored in ordinary tensors and that we cannot decode; `nil` when there is no sign of one.
    public let foreignQuantization: ForeignQuantization?

    private let shards: [SafetensorsFile]
    private let located: [LocatedTensor]

    /// Opens a single file.
    ///
    /// - Throws: ``CheckpointError`` when it is no valid safetensors file or the pieces of a 4-bit weight do not fit
    ///   together; ``Tensors/FileError`` when it cannot be read.
    public init(file: FilePath) throws {
        try self.init(shards: [SafetensorsFile(path: file)], index: nil)
    }

    /// Opens the shards that a `model.safetensors.index.json` names.
    ///
    /// - Throws: as ``init(file:)``, also when a shard is missing or the index and the shards disagree.
    public init(index path: FilePath) throws {
        let index = try ShardIndex(path: path)
        let shards = try index.openShards()
        try self.init(shards: shards, index: path)
    }

    private init(shards: [SafetensorsFile], index: FilePath?) throws {
        self.shards = shards
        files = shards.map(\.path) + (index.map { [$0] } ?? [])
        metadata = shards.reduce(into: [:]) { $0.merge($1.metadata ?? [:]) { first, _ in first } }
        let stored = shards.enumerated().flatMap { file, shard in
            shard.entries.map { StoredTensor(entry: $0, file: file) }
        }
        var grouping = BitsAndBytesGrouping(stored) { try shards[$0.file].bytes(of: $0.entry) }
        located = try grouping.logicalTensors()
        tensors = located.map(\.tensor)
        foreignQuantization = ForeignQuantization(tensorNames: stored.lazy.map(\.entry.name))
    }

    public func read(
        _ part: TensorPart, ofTensor tensor: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        let source = located[tensor]
        let byteCount = source.location(of: part)?.entry.byteCount ?? 0
        guard let stored = source.location(of: part), offset >= 0, offset <= byteCount,
            buffer.count <= byteCount - offset
        else {
            throw CheckpointError.outOfRange(
                tensor: source.tensor.name, part: part, range: offset..<max(offset, offset &+ buffer.count),
                byteCount: byteCount)
        }
        try shards[stored.file].read(stored.entry, at: offset, into: buffer)
    }
}
