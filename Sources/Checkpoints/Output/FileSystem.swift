import CSystemCalls
import SystemPackage
import Tensors

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// The system calls about files that SystemPackage does not wrap.
package enum FileSystem {
    package enum Kind: Hashable, Sendable {
        case file
        case directory
        case symbolicLink
        case other
    }

    /// What identifies a file, whatever path leads to it.
    struct Identity: Hashable {
        let device: UInt64
        let number: UInt64
    }

    /// What stands at a path; `nil` when nothing does or it cannot be reached.
    package static func kind(of path: FilePath, followingLinks: Bool = true) -> Kind? {
        guard let status = status(of: path, followingLinks: followingLinks) else { return nil }
        return switch status.st_mode & S_IFMT {
        case S_IFREG: .file
        case S_IFDIR: .directory
        case S_IFLNK: .symbolicLink
        default: .other
        }
    }

    /// When a file was last changed, in nanoseconds since 1970; `nil` when it cannot be reached.
    package static func modificationTime(of path: FilePath) -> Int? {
        guard let status = status(of: path, followingLinks: true) else { return nil }
        #if canImport(Darwin)
        let time = status.st_mtimespec
        #else
        let time = status.st_mtim
        #endif
        return Int(time.tv_sec) * 1_000_000_000 + Int(time.tv_nsec)
    }

    static func identity(of path: FilePath) -> Identity? {
        status(of: path, followingLinks: true).map(identity)
    }

    static func identity(of descriptor: FileDescriptor) -> Identity? {
        var status = stat()
        return fstat(descriptor.rawValue, &status) == 0 ? identity(status) : nil
    }

    private static func identity(_ status: stat) -> Identity {
        Identity(device: UInt64(truncatingIfNeeded: status.st_dev), number: UInt64(truncatingIfNeeded: status.st_ino))
    }

    private static func status(of path: FilePath, followingLinks: Bool) -> stat? {
        var status = stat()
        let result = path.withPlatformString { followingLinks ? stat($0, &status) : lstat($0, &status) }
        return result == 0 ? status : nil
    }

    /// The absolute path without symbolic links; `nil` when there is no such file.
    package static func resolved(_ path: FilePath) -> FilePath? {
        path.withPlatformString { name in
            guard let resolved = realpath(name, nil) else { return nil }
            defer { free(resolved) }
            return FilePath(platformString: resolved)
        }
    }

    /// The absolute path without symbolic links of something that need not exist yet.
    static func resolvedParents(_ path: FilePath) -> FilePath {
        if let resolved = resolved(path) { return resolved }
        var existing = path
        var missing: [FilePath.Component] = []
        while let last = existing.lastComponent {
            missing.insert(last, at: 0)
            existing.removeLastComponent()
            if let resolved = resolved(existing.isEmpty ? "." : existing) {
                // ".." after a name that does not exist can only mean what it says.
                let normalized = resolved.appending(missing).lexicallyNormalized()
                return FileSystem.resolved(normalized) ?? normalized
            }
        }
        return path
    }

    /// The names in a directory, sorted by bytes, without `.` and `..`.
    package static func names(in directory: FilePath) throws(FileError) -> [String] {
        guard let stream = directory.withPlatformString({ opendir($0) }) else {
            throw FileError(.list, directory, Errno(rawValue: errno))
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: pointer.pointee)) {
                    String(cString: $0)
                }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted { $0.precedesByBytes($1) }
    }

    /// The directories above a path that do not exist, outermost first.
    package static func missingDirectories(above path: FilePath) -> [FilePath] {
        var missing: [FilePath] = []
        var current = path.removingLastComponent()
        while !current.isEmpty, kind(of: current) == nil {
            missing.insert(current, at: 0)
            guard current.removeLastComponent() else { break }
        }
        return missing
    }

    /// Removes a directory unless something is in it.
    package static func removeIfEmpty(_ directory: FilePath) {
        _ = directory.withPlatformString { rmdir($0) }
    }

    static func createDirectory(_ path: FilePath) throws(FileError) {
        guard path.withPlatformString({ mkdir($0, 0o777) }) == 0 else {
            throw FileError(.create, path, Errno(rawValue: errno))
        }
    }

    /// Makes the directories between `directory` and a file below it; answers the one that is to hold the file.
    @discardableResult
    static func createParents(of name: FilePath, in directory: FilePath) throws(FileError) -> FilePath {
        var parent = directory
        for component in name.components.dropLast() {
            parent.append(component)
            if kind(of: parent) == nil { try createDirectory(parent) }
        }
        return parent
    }

    /// Removes a file or a directory with all that is in it, without following links. What is gone already is no error.
    package static func remove(_ path: FilePath) throws(FileError) {
        guard let kind = kind(of: path, followingLinks: false) else { return }
        if kind == .directory {
            for name in try names(in: path) { try remove(path.appending(name)) }
        }
        let result = path.withPlatformString { kind == .directory ? rmdir($0) : unlink($0) }
        guard result == 0 || errno == ENOENT else { throw FileError(.remove, path, Errno(rawValue: errno)) }
    }

    static func rename(_ source: FilePath, to destination: FilePath) throws(FileError) {
        let result = source.withPlatformString { source in
            destination.withPlatformString { platformRename(source, $0) }
        }
        guard result == 0 else { throw FileError(.rename, destination, Errno(rawValue: errno)) }
    }

    /// Gives a file a second name.
    static func link(_ source: FilePath, to destination: FilePath) throws(FileError) {
        let result = source.withPlatformString { source in
            destination.withPlatformString { platformLink(source, $0) }
        }
        guard result == 0 else { throw FileError(.create, destination, Errno(rawValue: errno)) }
    }

    /// Moves something to a path where nothing may stand.
    ///
    /// - Throws: ``Tensors/FileError`` with `fileExists` when something does.
    static func renameToNew(_ source: FilePath, to destination: FilePath) throws(FileError) {
        let result = source.withPlatformString { source in
            destination.withPlatformString { file_rename_to_new(source, $0) }
        }
        if result == 0 { return }
        let reason = Errno(rawValue: errno)
        // Some file systems know only the plain call, which checks less.
        guard [.invalidArgument, .noFunction, .notSupported].contains(reason) else {
            throw FileError(.rename, destination, reason)
        }
        guard kind(of: destination, followingLinks: false) == nil else {
            throw FileError(.rename, destination, .fileExists)
        }
        try rename(source, to: destination)
    }

    /// Swaps two paths at once; answers false where the file system cannot.
    static func exchange(_ first: FilePath, _ second: FilePath) throws(FileError) -> Bool {
        let result = first.withPlatformString { first in second.withPlatformString { file_exchange(first, $0) } }
        if result == 0 { return true }
        let reason = Errno(rawValue: errno)
        if [.invalidArgument, .noFunction, .notSupported].contains(reason) { return false }
        throw FileError(.rename, second, reason)
    }

    /// Makes the names in a directory durable.
    static func syncDirectory(_ path: FilePath) throws(FileError) {
        let descriptor: FileDescriptor
        do {
            descriptor = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .directory])
        } catch {
            throw FileError(.sync, path, (error as? Errno) ?? .ioError)
        }
        defer { try? descriptor.close() }
        // Some file systems cannot sync directories, and need not.
        guard fsync(descriptor.rawValue) == 0 || errno == EINVAL || errno == ENOTSUP else {
            throw FileError(.sync, path, Errno(rawValue: errno))
        }
    }
}

private func platformLink(_ source: UnsafePointer<CChar>, _ destination: UnsafePointer<CChar>) -> Int32 {
    link(source, destination)
}

private func platformRename(_ source: UnsafePointer<CChar>, _ destination: UnsafePointer<CChar>) -> Int32 {
    rename(source, destination)
}
