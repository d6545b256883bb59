import CSystemCalls
import SystemPackage

/// A whole file mapped into memory for reading.
///
/// Pages cost less than a copy out of the page cache: whole comparisons on two cores take 7 to 10 % less time with them. That
/// holds for stretches of some MiB, which all threads share; windows of less than 1 MiB are slower than copies, because each
/// one that goes interrupts all other cores. Filling them ahead (`MAP_POPULATE`) gains nothing over page faults. Two things
/// speak against mapped files, and both are taken care of:
///
/// - Pages that are gone when they are needed, because another program truncates the file or because the disk fails, end
///   the process with SIGBUS. Here a handler of that signal puts zeros in their place and marks the mapping, as compositors
///   do with buffers that clients may shrink (libwayland's `wl_shm_buffer_begin_access`); after each access the mark tells
///   whether what was read is worth anything. See CSystemCalls' `GuardedMapping.h`.
/// - Pages that have been read stay in the process's resident memory. ``ResidentStretches`` lets go of all but a few.
final class MappedFile: Sendable {
    /// What of a file is let go of at once: large, because taking pages away from one thread interrupts the others.
    static let stretchBytes = 4 << 20

    private nonisolated(unsafe) let mapping: OpaquePointer
    private nonisolated(unsafe) let start: UnsafeRawPointer
    private let size: Int

    /// - Returns: `nil` where the file cannot be mapped: on some network file systems, or for want of addresses.
    init?(descriptor: FileDescriptor, size: Int) {
        guard size > 0, let mapping = file_map(descriptor.rawValue, size),
            let start = file_mapping_start(mapping)
        else { return nil }
        self.mapping = mapping
        self.start = start
        self.size = size
    }

    deinit {
        file_unmap(mapping)
    }

    /// Calls `body` with bytes of the file.
    ///
    /// - Parameter range: Not empty, and within the file.
    /// - Returns: `nil` when pages are lost; whatever `body` returned or threw is worthless then.
    func withBytes<Result>(
        _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result? {
        precondition(range.lowerBound >= 0 && range.upperBound <= size && !range.isEmpty, "range outside the file")
        var access = file_access()
        let outcome = withUnsafeMutablePointer(to: &access) { access in
            file_access_begin(access, mapping)
            let outcome = Swift.Result {
                try body(UnsafeRawBufferPointer(start: start + range.lowerBound, count: range.count))
            }
            return file_access_end(access) ? outcome : nil
        }
        ResidentStretches.shared.note(
            range.lowerBound / MappedFile.stretchBytes...(range.upperBound - 1) / MappedFile.stretchBytes, of: self)
        return try outcome?.get()
    }

    /// Lets go of the memory of a stretch. Whoever is reading it gets it again.
    func release(stretch: Int) {
        let offset = stretch * MappedFile.stretchBytes
        file_mapping_release(mapping, offset, min(MappedFile.stretchBytes, size - offset))
    }
}
