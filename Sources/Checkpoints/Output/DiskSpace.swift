import SystemPackage

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// Free space on disks.
public enum DiskSpace {
    /// The bytes that this user can still write on the file system that holds a path, which need not exist yet; `nil`
    /// when the system does not tell.
    public static func free(at path: FilePath) -> Int? {
        var status = statvfs()
        guard existing(path).withPlatformString({ statvfs($0, &status) }) == 0 else { return nil }
        let (bytes, overflow) = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
        return overflow ? Int.max : Int(clamping: bytes)
    }

    /// A file system.
    package struct Volume: Hashable, Sendable {
        fileprivate let device: UInt64
    }

    /// The file system that holds a path, which need not exist yet.
    package static func volume(of path: FilePath) -> Volume? {
        FileSystem.identity(of: existing(path)).map { Volume(device: $0.device) }
    }

    /// The path, or the directory above it that exists.
    private static func existing(_ path: FilePath) -> FilePath {
        var existing = FileSystem.resolvedParents(path)
        while FileSystem.kind(of: existing) == nil, existing.removeLastComponent() {}
        return existing.isEmpty ? "." : existing
    }
}
