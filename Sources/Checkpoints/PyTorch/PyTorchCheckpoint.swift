import SystemPackage
import Tensors

/// A checkpoint in one file that `torch.save` wrote, or in shards with a `pytorch_model.bin.index.json`.
///
/// Tensors stand in the order of the saved dictionaries, shards by name. Opening reads the pickles, which build tensors
/// and nothing else; data is read when it is asked for.
public struct PyTorchCheckpoint: DirectoryCheckpoint {
    /// The PyTorch files, then the index if there is one.
    public let files: [FilePath]
    private let weights: StoredWeights<PyTorchFile>

    public var tensors: [LogicalTensor] { weights.tensors }
    /// Empty: such files have no string metadata.
    public var metadata: [String: String] { weights.metadata }
    public var foreignQuantization: ForeignQuantization? { weights.foreignQuantization }

    /// Opens a single file.
    ///
    /// - Throws: ``CheckpointError/invalidPyTorch(file:problem:)`` when it is none or asks for more than tensors;
    ///   ``Tensors/FileError`` when it cannot be read.
    public init(file: FilePath) throws {
        weights = try StoredWeights([PyTorchFile(path: file)])
        files = [file]
    }

    /// Opens the shards that a `pytorch_model.bin.index.json` names.
    ///
    /// - Throws: as ``init(file:)``, also when a shard is missing or the index and the shards disagree.
    public init(index path: FilePath) throws {
        let shards = try ShardIndex(path: path).openShards { try PyTorchFile(path: $0) }
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
