import SystemPackage
import Tensors

/// A file that holds tensors by name, completely checked when it was opened: a safetensors or a PyTorch file.
///
/// Safe to use from several threads at once.
protocol WeightsFile: Sendable {
    var path: FilePath { get }
    /// String metadata of the file; `nil` when it has none.
    var metadata: [String: String]? { get }
    /// What the file holds, in its order.
    var contents: [WeightsEntry] { get }

    /// Reads a part of a tensor's data, row-major, little-endian, from byte `offset` of the tensor on.
    ///
    /// - Parameter index: Index into ``contents``.
    /// - Precondition: the range lies within the tensor.
    func read(entry index: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws

    /// Calls `body` with a part of a tensor's data, where it is or read into `buffer`; see
    /// ``CheckpointReader/withBytes(_:ofTensor:at:using:_:)``.
    func withBytes(
        ofEntry index: Int, at offset: Int, using buffer: UnsafeMutableRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws
}

/// A tensor of a weights file.
struct WeightsEntry: Hashable, Sendable {
    let name: String
    let dtype: DType
    /// Outermost dimension first; empty for a scalar.
    let shape: [Int]
    /// The size of the data in bytes.
    let byteCount: Int
}
