import SystemPackage
import Tensors

/// A checkpoint in one file of weights, or in shards with an index; bitsandbytes' 4-bit weights in it are logical tensors.
///
/// Tensors stand in the order of each file (of safetensors' data, of a saved dictionary), shards by name. Opening reads
/// headers, or pickles, which build tensors and nothing else, and the small tables of 4-bit weights; data is read when it
/// is asked for.
public struct WeightsCheckpoint: CheckpointReader {
    public let tensors: [LogicalTensor]
    /// Metadata of all files together; where two disagree the first file's value stands. PyTorch's files have none.
    public let metadata: [String: String]
    /// The files of weights, then the index if there is one.
    public let files: [FilePath]
    /// A quantization that is stored in ordinary tensors and that we cannot decode; `nil` when there is no sign of one.
    public let foreignQuantization: ForeignQuantization?

    private let weights: [any WeightsFile]
    private let located: [LocatedTensor]

    /// Opens a file of weights, or the shards of an index (`….index.json`), in the format that its name tells: `.bin`,
    /// `.pt` and `.pth` are PyTorch's, anything else is safetensors.
    ///
    /// - Throws: ``CheckpointError`` when a file is not valid or asks for more than tensors, when a shard is missing or
    ///   disagrees with the index, when the pieces of a 4-bit weight do not fit together; ``Tensors/FileError`` when a file
    ///   cannot be read.
    public init(path: FilePath) throws {
        let name = path.lastComponent?.string ?? ""
        guard name.hasSuffix(ModelFiles.indexSuffix) else {
            try self.init([WeightsFormat(fileName: name).open(path)], files: [path])
            return
        }
        let format = WeightsFormat(fileName: String(name.dropLast(ModelFiles.indexSuffix.count)))
        let shards = try ShardIndex(path: path).openShards(format)
        try self.init(shards, files: shards.map(\.path) + [path])
    }

    private init(_ weights: [any WeightsFile], files: [FilePath]) throws {
        self.weights = weights
        self.files = files
        metadata = weights.reduce(into: [:]) { $0.merge($1.metadata ?? [:]) { first, _ in first } }
        let stored = weights.enumerated().flatMap { file, weights in
            weights.contents.enumerated().map { StoredTensor(entry: $0.element, file: file, index: $0.offset) }
        }
        let grouping = BitsAndBytesGrouping(stored) { tensor in
            var bytes = [UInt8](repeating: 0, count: tensor.entry.byteCount)
            try bytes.withUnsafeMutableBytes { try weights[tensor.file].read(entry: tensor.index, at: 0, into: $0) }
            return bytes
        }
        located = try grouping.logicalTensors()
        tensors = located.map(\.tensor)
        foreignQuantization = ForeignQuantization(tensorNames: stored.lazy.map(\.entry.name))
    }

    public func read(
        _ part: TensorPart, ofTensor tensor: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        let stored = try entry(part, ofTensor: tensor, at: offset, count: buffer.count)
        try weights[stored.file].read(entry: stored.index, at: offset, into: buffer)
    }

    public func withBytes(
        _ part: TensorPart, ofTensor tensor: Int, at offset: Int, using buffer: UnsafeMutableRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let stored = try entry(part, ofTensor: tensor, at: offset, count: buffer.count)
        try weights[stored.file].withBytes(ofEntry: stored.index, at: offset, using: buffer, body)
    }

    /// What holds a part, which must hold the bytes asked for.
    private func entry(
        _ part: TensorPart, ofTensor tensor: Int, at offset: Int, count: Int
    ) throws(CheckpointError) -> StoredTensor {
        let found = located[tensor].location(of: part)
        let byteCount = found?.entry.byteCount ?? 0
        guard let stored = found, offset >= 0, offset <= byteCount, count <= byteCount - offset else {
            throw .outOfRange(
                tensor: located[tensor].tensor.name, part: part, range: offset..<max(offset, offset &+ count),
                byteCount: byteCount)
        }
        return stored
    }
}
