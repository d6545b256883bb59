import SystemPackage

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// The directory that relative paths of the command line are relative to.
enum WorkingDirectory {
    /// Its absolute path; empty when the system does not tell.
    static var path: FilePath {
        guard let name = getcwd(nil, 0) else { return "" }
        defer { free(name) }
        return FilePath(platformString: name)
    }
}
