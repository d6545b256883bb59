import SystemPackage
import Tensors

/// Writes small files whole: reports, configuration.
public enum StagedFile {
    /// Removes a file or a directory with all that is in it. What is gone already is no error.
    package static func remove(_ path: FilePath) throws(FileError) { try FileSystem.remove(path) }

    /// Writes a file beside its destination, syncs it and puts it in place, replacing what stood there; but to a device or a
    /// pipe (`/dev/null`, `/dev/stdout`) what it is to hold.
    ///
    /// - Throws: ``CheckpointError`` when the destination is a directory or being written by another process;
    ///   ``Tensors/FileError``. The destination is then as it was.
    public static func write(_ bytes: some Sequence<UInt8>, to path: FilePath) throws {
        guard !OutputDestination(path).isStream else { return try writeToStream(Array(bytes), path) }
        let output = try StagedOutput(destination: path, kind: .file, force: true)
        do {
            let file = try OutputFile(creating: output.path)
            try file.write(Array(bytes), at: 0)
            try file.sync()
            try output.commit()
        } catch {
            output.abandon()
            throw error
        }
    }

    private static func writeToStream(_ bytes: [UInt8], _ path: FilePath) throws(FileError) {
        do {
            let descriptor = try FileDescriptor.open(path, .writeOnly, options: .closeOnExec)
            try descriptor.closeAfter { _ = try descriptor.writeAll(bytes) }
        } catch {
            throw FileError(.write, path, (error as? Errno) ?? .ioError)
        }
    }
}
