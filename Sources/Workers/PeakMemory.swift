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
    var usage = rusage()
    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss : nil
    #else
    // Not getrusage: on Linux ru_maxrss survives exec, so it may be that of the process which started this one.
    guard let file = fopen("/proc/self/status", "r") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, Int32(line.count), file) != nil {
        let words = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            .split(whereSeparator: \.isWhitespace)
        if words.count == 3, words[0] == "VmHWM:", words[2] == "kB" { return Int(words[1]).map { $0 * 1024 } }
    }
    return nil
    #endif
}
