import SystemPackage
import Tensors

/// Writes a checkpoint whose tensors are all known up front, with data arriving in any order from several threads.
///
/// Nothing appears under the destination's name before ``commit()``.
public protocol CheckpointWriter: AnyObject, Sendable {
    /// Writes bytes of a part of a tensor at a byte offset from the start of the part. Every byte of every part must be
    /// written exactly once before ``finish()``.
    ///
    /// - Parameter tensor: Index into the tensors the writer was made with.
    /// - Throws: ``FileError`` when the disk is full or fails.
    func write(_ bytes: UnsafeRawBufferPointer, part: TensorPart, ofTensor tensor: Int, at offset: Int) throws

    /// Writes bytes as ``write(_:part:ofTensor:at:)`` does, which are put where they go from: into the memory of a file that is
    /// written, if there is one.
    ///
    /// - Parameters:
    ///   - buffer: As large as the run of bytes; memory for those that have no place yet.
    ///   - fill: Puts some of the bytes into memory: as many as there is room, from that one of the run on.
    /// - Throws: As ``write(_:part:ofTensor:at:)``, and what `fill` throws.
    func write(
        part: TensorPart, ofTensor tensor: Int, at offset: Int, using buffer: UnsafeMutableRawBufferPointer,
        fill: (_ room: UnsafeMutableRawBufferPointer, _ first: Int) throws -> Void
    ) throws

    /// Tells the offset (mean) of a tensor's scales, which is known only after all its data has been seen. Required
    /// before ``finish()`` for every double-quantized tensor whose ``DoubleQuantization/offset`` was `nil`.
    func setDoubleQuantizationOffset(_ offset: Float, ofTensor tensor: Int) throws

    /// Completes the files and syncs them: all that needs space on the disk. Done only once.
    ///
    /// - Throws: ``CheckpointError/incomplete(path:written:expected:)``; ``CheckpointError/destinationExists(_:)`` when something has
    ///   appeared there that is not to be replaced; ``Tensors/FileError``.
    func finish() throws

    /// Puts the files in place, and finishes them first if that has not been done.
    ///
    /// - Throws: As ``finish()``; ``CheckpointError/destinationExists(_:)``.
    func commit() throws

    /// Removes everything that was written. Safe to call at any time, also after ``commit()``, when it does nothing.
    func abandon()
}

extension CheckpointWriter {
    public func write(
        part: TensorPart, ofTensor tensor: Int, at offset: Int, using buffer: UnsafeMutableRawBufferPointer,
        fill: (_ room: UnsafeMutableRawBufferPointer, _ first: Int) throws -> Void
    ) throws {
        try fill(buffer, 0)
        try write(UnsafeRawBufferPointer(buffer), part: part, ofTensor: tensor, at: offset)
    }
}
