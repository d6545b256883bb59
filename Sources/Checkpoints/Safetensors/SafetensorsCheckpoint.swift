import SystemPackage
import Tensors

/// A checkpoint in one safetensors file, or in shards with an index; bitsandbytes' 4-bit weights in it are logical
/// tensors.
///
/// Tensors stand in the order of the files' data, shards by name. Opening reads headers, and the small tables of 4-bit
/// weights.
public struct SafetensorsCheckpoint: DirectoryCheckpoint {
    /// The safetensors files, then the index if there is one.
    public let files: [FilePath]
    private let weights: StoredWeights<SafetensorsFile>

    public var tensors: [LogicalTensor] { weights.tensors }
    /// `__metadata__` of all files together; where two disagree the first file's value stands.
    public var metadata: [String: String] { weights.metadata }
    /// A quantization that is stored in ordinary tensors and that we cannot decode; `nil` when there is no sign of one.
    public var foreignQuantization: ForeignQuantization? { weights.foreignQuantization }

    /// Opens a single file.
    ///
    /// - Throws: ``CheckpointError`` when it is no valid safetensors file or the pieces of a 4-bit weight do not fit
    ///   together; ``Tensors/FileError`` when it cannot be read.
    public init(file: FilePath) throws {
        weights = try StoredWeights([SafetensorsFile(path: file)])
        files = [file]
    }

    /// Opens the shards that a `model.safetensors.index.json` names.
    ///
    /// - Throws: as ``init(file:)``, also when a shard is missing or the index and the shards disagree.
    public init(index path: FilePath) throws {
        let shards = try ShardIndex(path: path).openShards { try SafetensorsFile(path: $0) }
        weights = try StoredWeights(shards)
        files = shards.map(\.path) + [path]
    }

    public func read(
        _ part: TensorPart, ofTensor tensor: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        try weights.read(part, ofTensor: tensor, at: offset, into: buffer)
    }

    public func withBytes(
        _ part: TensorPart, ofTensor tensor: Int, at offset: Int, using buffer: UnsafeMutableRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        try weights.withBytes(part, ofTensor: tensor, at: offset, using: buffer, body)
    }
}
