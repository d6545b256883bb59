#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// The most memory this process has had resident, in bytes; `nil` where the system does not tell.
package var peakMemory: Int? {
    #if canImport(Darwin)
    let thisProcess = RUSAGE_SELF
    #else
    let thisProcess = RUSAGE_SELF.rawValue
    #endif
    var usage = rusage()
    guard getrusage(thisProcess, &usage) == 0 else { return nil }
    #if canImport(Darwin)
    return usage.ru_maxrss  // bytes
    #else
    return usage.ru_maxrss * 1024  // kibibytes
    #endif
}
