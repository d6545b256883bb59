import SystemPackage
import Tensors

/// A small file, a report or a record, that is written whole: beside its destination first, then put in its place. What stands there
/// is replaced; but a device or a pipe (`/dev/null`, `/dev/stdout`) gets what the file would hold. One that is forgotten before it
/// is in its place is removed.
public struct StagedFile: Sendable {
    private enum Place {
        case staged(StagedOutput)
        case stream(FilePath, [UInt8])
    }

    private let place: Place

    /// Writes and syncs a file that is not in its place yet.
    ///
    /// - Throws: ``CheckpointError`` when the destination is a directory or being written by another process;
    ///   ``Tensors/FileError``. Nothing is left behind then.
    package init(_ bytes: some Sequence<UInt8>, for path: FilePath) throws {
        guard !OutputDestination(path).isStream else {
            place = .stream(path, Array(bytes))
            return
        }
        let output = try StagedOutput(destination: path, kind: .file, force: true)
        let file = try OutputFile(creating: output.path)
        try file.write(Array(bytes), at: 0)
        try file.sync()
        place = .staged(output)
    }

    /// Puts the file in place.
    ///
    /// - Throws: ``CheckpointError``; ``Tensors/FileError``. The destination is then as it was.
    package func commit() throws {
        switch place {
        case .staged(let output): try output.commit()
        case .stream(let path, let bytes): try StagedFile.write(bytes, toStream: path)
        }
    }

    /// Writes a file beside its destination, syncs it and puts it in place.
    ///
    /// - Throws: As ``init(_:for:)`` and ``commit()``. The destination is then as it was.
    public static func write(_ bytes: some Sequence<UInt8>, to path: FilePath) throws {
        try StagedFile(bytes, for: path).commit()
    }

    private static func write(_ bytes: [UInt8], toStream path: FilePath) throws(FileError) {
        do {
            let descriptor = try FileDescriptor.open(path, .writeOnly, options: .closeOnExec)
            try descriptor.closeAfter { _ = try descriptor.writeAll(bytes) }
        } catch {
            throw FileError(.write, path, (error as? Errno) ?? .ioError)
        }
    }

    /// Removes a file or a directory with all that is in it. What is gone already is no error.
    package static func remove(_ path: FilePath) throws(FileError) { try FileSystem.remove(path) }
}
