import SystemPackage
import Tensors

/// One safetensors file, opened for reading and completely checked.
///
/// Opening reads the header only. Data is read by position, or without a copy from a mapping of the file; both are safe
/// from several threads at once, and also when another program truncates the file.
public final class SafetensorsFile: Sendable {
    public let path: FilePath
    /// The size of the file in bytes.
    public var size: Int { file.size }
    /// The tensors in the order of their data.
    public let entries: [SafetensorsEntry]
    /// `__metadata__`; `nil` when the file has none.
    public let metadata: [String: String]?

    let file: InputFile
    private let indices: [String: Int]

    /// Opens a file and checks its header against its size. Complexity: linear in the header.
    ///
    /// - Throws: ``CheckpointError/invalidSafetensors(file:problem:)`` when it is not a valid safetensors file,
    ///   ``Tensors/FileError`` when it cannot be read.
    public init(path: FilePath) throws {
        self.path = path
        file = try InputFile(path: path)
        let json = try SafetensorsFile.headerBytes(file)
        do throws(SafetensorsProblem) {
            let header = try SafetensorsHeader(json: json, fileSize: file.size)
            entries = header.entries
            metadata = header.metadata
            indices = header.indices
        } catch {
            throw CheckpointError.invalidSafetensors(file: path, problem: error)
        }
    }

    /// The tensor with this name.
    public subscript(name: String) -> SafetensorsEntry? {
        indices[name].map { entries[$0] }
    }

    /// Reads a part of a tensor's data, from byte `offset` of the tensor on.
    ///
    /// - Precondition: the range lies within the tensor.
    public func read(_ entry: SafetensorsEntry, at offset: Int, into buffer: UnsafeMutableRawBufferPointer)
        throws(FileError)
    {
        precondition(offset >= 0 && buffer.count <= entry.byteCount - offset, "range outside the tensor")
        try file.read(into: buffer, at: entry.range.lowerBound + offset)
    }

    /// All bytes of a tensor, row-major, little-endian, in memory of their own.
    public func bytes(of entry: SafetensorsEntry) throws(FileError) -> [UInt8] {
        try file.bytes(entry.range)
    }

    /// Calls `body` with the bytes of a tensor, row-major, little-endian, without a copy of large ones. The pointer must
    /// not leave `body`.
    ///
    /// - Throws: ``CheckpointError/noSuchTensor(file:name:)``, ``Tensors/FileError`` when the file ends early (it shrank
    ///   since it was opened; what `body` did is dropped then) or the device fails, and what `body` throws.
    public func withUnsafeBytes<Result>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        guard let entry = self[name] else { throw CheckpointError.noSuchTensor(file: path, name: name) }
        return try file.withBytes(entry.range, body)
    }

    /// The header's JSON as it stands in the file, without its length field and with its padding.
    package func header() throws -> [UInt8] { try SafetensorsFile.headerBytes(file) }

    /// The header without its length field. Nothing is allocated before the length is known to be plausible.
    private static func headerBytes(_ file: InputFile) throws -> [UInt8] {
        func invalid(_ problem: SafetensorsProblem) -> CheckpointError {
            .invalidSafetensors(file: file.path, problem: problem)
        }
        guard file.size >= 8 else { throw invalid(.tooShort(fileSize: file.size)) }
        let length = try file.bytes(0..<8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard length <= SafetensorsHeader.maximumLength else {
            throw invalid(.headerTooLong(length: length, limit: SafetensorsHeader.maximumLength))
        }
        guard length <= file.size - 8 else { throw invalid(.headerBeyondFile(length: length, fileSize: file.size)) }
        guard length > 0, try file.bytes(8..<9) == [UInt8(ascii: "{")] else { throw invalid(.headerIsNoObject) }
        return try file.bytes(8..<8 + Int(length))
    }
}
