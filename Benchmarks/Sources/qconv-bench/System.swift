import SystemPackage

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// Prints a line that the reader at the other end of a pipe sees at once.
func printNow(_ line: String) {
    print(line)
    fflush(nil)
}

/// Renames a file.
func rename(_ path: FilePath, to other: FilePath) throws {
    let status = path.withPlatformString { path in other.withPlatformString { rename(path, $0) } }
    guard status == 0 else { throw Errno(rawValue: errno) }
}
