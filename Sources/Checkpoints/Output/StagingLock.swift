import SystemPackage
import Tensors

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// A staging directory that this process alone works in.
///
/// The lock is an advisory one on a file in the directory, so the system releases it when the process dies, however it
/// dies; what the dead process left is then removed by the next.
final class StagingLock: Sendable {
    private static let name = "lock"

    let directory: FilePath
    private let descriptor: FileDescriptor

    /// Creates the directory, or takes over one that a killed process left.
    ///
    /// - Returns: `nil` when another process holds it.
    static func acquire(_ directory: FilePath) throws(FileError) -> StagingLock? {
        let file = directory.appending(name)
        // Another process may remove its staging directory between our steps: then start again.
        for _ in 0..<100 {
            do throws(FileError) {
                try FileSystem.createDirectory(directory)
            } catch {
                guard error.errno == .fileExists else { throw error }
            }
            let descriptor: FileDescriptor
            do {
                descriptor = try FileDescriptor.open(
                    file, .readWrite, options: [.create, .closeOnExec], permissions: [.ownerReadWrite])
            } catch {
                if (error as? Errno) == .noSuchFileOrDirectory { continue }
                throw FileError(.create, file, (error as? Errno) ?? .ioError)
            }
            if flock(descriptor.rawValue, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK {
                try? descriptor.close()
                return nil
            }
            if FileSystem.identity(of: descriptor) == FileSystem.identity(of: file) {
                return StagingLock(directory: directory, descriptor: descriptor)
            }
            try? descriptor.close()
        }
        return nil
    }

    private init(directory: FilePath, descriptor: FileDescriptor) {
        self.directory = directory
        self.descriptor = descriptor
    }

    deinit {
        try? descriptor.close()
    }

    /// Removes what is in the directory beside the lock.
    func clear() throws(FileError) {
        for name in try FileSystem.names(in: directory) where name != StagingLock.name {
            try FileSystem.remove(directory.appending(name))
        }
    }

    /// Removes the directory and with it the lock.
    func removeDirectory() throws(FileError) {
        try clear()
        // The lock goes last: whoever finds the directory without it may make a new one in it.
        try FileSystem.remove(directory.appending(StagingLock.name))
        _ = directory.withPlatformString { rmdir($0) }
    }
}
