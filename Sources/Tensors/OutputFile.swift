import CSystemCalls
import Synchronization
import SystemPackage

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// A new file opened for positional writes, safe to use from several threads at once.
public final class OutputFile: Sendable {
    public let path: FilePath
    private let descriptor: FileDescriptor
    /// Bytes written so far, in whatever order.
    private let written = Atomic(0)

    /// After so many bytes the disk is told to begin, so that ``sync()`` finds little left to wait for. Being told more often keeps a
    /// core from other work for longer.
    private static let writebackStep = 4 << 20

    /// Creates a file, which must not exist yet.
    public init(creating path: FilePath) throws(FileError) {
        self.path = path
        do {
            descriptor = try FileDescriptor.open(
                path, .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: [.ownerReadWrite, .groupReadWrite, .otherReadWrite])
        } catch {
            throw FileError(.create, path, (error as? Errno) ?? .ioError)
        }
    }

    deinit {
        try? descriptor.close()
    }

    /// Gives the file its size and, where the file system can, the disk space for it, so that a full disk shows before
    /// any work is done.
    public func preallocate(_ byteCount: Int) throws(FileError) {
        guard byteCount > 0 else { return }
        if file_reserve(descriptor.rawValue, Int64(byteCount)) != 0 {
            let reason = Errno(rawValue: errno)
            // Network and some FUSE file systems cannot reserve space: there a full disk shows when it is written.
            guard [.notSupported, .noFunction, .invalidArgument, .interrupted].contains(reason) else {
                throw FileError(.write, path, reason)
            }
        }
        try resize(to: byteCount)
    }

    /// Writes all of `bytes` from `offset` on.
    ///
    /// - Throws: ``FileError`` when the disk is full or fails.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
        var done = 0
        while done < bytes.count {
            do {
                done += try descriptor.write(
                    toAbsoluteOffset: Int64(offset + done), UnsafeRawBufferPointer(rebasing: bytes[done...]))
            } catch {
                throw FileError(.write, path, (error as? Errno) ?? .ioError)
            }
        }
        let total = written.add(bytes.count, ordering: .relaxed)
        if total.oldValue / OutputFile.writebackStep != total.newValue / OutputFile.writebackStep {
            // Only a hint: what fails here fails again in sync().
            _ = file_start_writeback(descriptor.rawValue)
        }
    }

    /// Writes all of `bytes` from `offset` on.
    public func write(_ bytes: [UInt8], at offset: Int) throws(FileError) {
        try bytes.withBuffer { buffer throws(FileError) in try write(buffer, at: offset) }
    }

    /// Cuts or extends the file.
    public func resize(to byteCount: Int) throws(FileError) {
        guard ftruncate(descriptor.rawValue, off_t(byteCount)) == 0 else {
            throw FileError(.write, path, Errno(rawValue: errno))
        }
    }

    /// Returns once the file's data is on the disk.
    public func sync() throws(FileError) {
        #if canImport(Darwin)
        // fsync on Darwin leaves data in the drive's cache.
        if fcntl(descriptor.rawValue, F_FULLFSYNC) == 0 { return }
        #endif
        guard fsync(descriptor.rawValue) == 0 else { throw FileError(.sync, path, Errno(rawValue: errno)) }
    }
}

extension [UInt8] {
    /// The same as `withUnsafeBytes`, which cannot throw an error of a known type.
    func withBuffer(_ body: (UnsafeRawBufferPointer) throws(FileError) -> Void) throws(FileError) {
        var failure: FileError?
        withUnsafeBytes { buffer in
            do throws(FileError) { try body(buffer) } catch { failure = error }
        }
        if let failure { throw failure }
    }
}
