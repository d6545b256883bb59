import SystemPackage
import Tensors

/// A checkpoint whose tensors go by other names.
public struct RenamedCheckpoint: CheckpointReader {
    public let tensors: [LogicalTensor]
    private let original: any CheckpointReader

    public var metadata: [String: String] { original.metadata }
    public var files: [FilePath] { original.files }

    /// - Parameter names: One for each tensor.
    public init(_ original: any CheckpointReader, names: [String]) {
        self.original = original
        tensors = zip(original.tensors, names).map { tensor, name in
            LogicalTensor(name: name, shape: tensor.shape, encoding: tensor.encoding)
        }
    }

    public func read(
        _ part: TensorPart, ofTensor tensor: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        try original.read(part, ofTensor: tensor, at: offset, into: buffer)
    }

    public func withBytes(
        _ part: TensorPart, ofTensor tensor: Int, at offset: Int, using buffer: UnsafeMutableRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        try original.withBytes(part, ofTensor: tensor, at: offset, using: buffer, body)
    }
}
