import SystemPackage

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// A whole file mapped read-only into memory.
///
/// The mapping lives as long as this object. A file that another program truncates while it is mapped makes access to the
/// lost pages fatal; conversions therefore stream through ``InputFile/read(into:at:)`` and map small files only.
public final class MappedFile: Sendable {
    public let path: FilePath
    private nonisolated(unsafe) let base: UnsafeRawPointer?
    public let size: Int

    init(descriptor: FileDescriptor, size: Int, path: FilePath) throws(FileError) {
        self.path = path
        self.size = size
        guard size > 0 else {
            base = nil
            return
        }
        guard let address = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor.rawValue, 0), address != MAP_FAILED
        else { throw FileError(.map, path, Errno(rawValue: errno)) }
        base = UnsafeRawPointer(address)
    }

    deinit {
        if let base { munmap(UnsafeMutableRawPointer(mutating: base), size) }
    }

    /// Calls `body` with a range of the file's bytes, without a copy. The pointer must not leave `body`.
    ///
    /// - Precondition: `range` lies within the file.
    public func withUnsafeBytes<Result, Failure: Error>(
        _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        precondition(range.lowerBound >= 0 && range.upperBound <= size, "range outside the mapped file")
        guard let base, !range.isEmpty else { return try body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        return try body(UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count))
    }
}
