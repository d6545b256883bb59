import SystemPackage
import Tensors

/// Reads a checkpoint: what tensors it holds, from headers alone, and ranges of their data.
///
/// Readers are safe to use from several threads at once. In memory they hold headers, and where data is compressed a small cache
/// of what was decoded last.
public protocol CheckpointReader: Sendable {
    /// The logical tensors in the order of the checkpoint.
    var tensors: [LogicalTensor] { get }

    /// String metadata of the checkpoint (safetensors' `__metadata__`).
    var metadata: [String: String] { get }

    /// The files that hold the data, for fingerprints and for telling whether an output would overwrite an input.
    var files: [FilePath] { get }

    /// Reads bytes of a part of a tensor.
    ///
    /// - Parameters:
    ///   - part: A part that the tensor's encoding has (see ``Tensors/LogicalTensor/parts``).
    ///   - tensor: Index into ``tensors``.
    ///   - offset: The first byte, counted from the start of the part.
    ///   - buffer: Filled completely.
    /// - Throws: ``FileError`` when the file cannot be read.
    func read(_ part: TensorPart, ofTensor tensor: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer)
        throws

    /// Calls `body` with bytes of a part of a tensor, as many as `buffer` has room for: where they are, if they need no
    /// decoding, else read into `buffer`. They have any alignment. The pointer must not leave `body`.
    ///
    /// Should the file change meanwhile, `body` may see zeros; then what it did is in vain.
    ///
    /// - Parameters:
    ///   - part: A part that the tensor's encoding has.
    ///   - tensor: Index into ``tensors``.
    ///   - offset: The first byte, counted from the start of the part.
    ///   - buffer: As large as the run of bytes.
    /// - Throws: As ``read(_:ofTensor:at:into:)``, and what `body` throws.
    func withBytes(
        _ part: TensorPart, ofTensor tensor: Int, at offset: Int, using buffer: UnsafeMutableRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws
}

extension CheckpointReader {
    public func withBytes(
        _ part: TensorPart, ofTensor tensor: Int, at offset: Int, using buffer: UnsafeMutableRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        try read(part, ofTensor: tensor, at: offset, into: buffer)
        try body(UnsafeRawBufferPointer(buffer))
    }
}
