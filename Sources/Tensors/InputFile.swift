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

/// A file opened for positional reads, safe to use from several threads at once.
public final class InputFile: Sendable {
    public let path: FilePath
    /// The size in bytes when the file was opened.
    public let size: Int
    /// The alignment of buffers that much is read into. The system takes up to five times as long to copy to a place that lies
    /// less than 32 bytes further into its page than the place it copies from; malloc's large buffers lie 16 bytes into theirs,
    /// which is such a place for what is read from the start of a page.
    public static let bufferAlignment = 64
    private let descriptor: FileDescriptor
    /// The file in memory, from when it is first wanted on.
    private let mapping = Mutex(Mapping.untried)

    private enum Mapping {
        case untried
        case mapped(MappedFile)
        case impossible
    }

    /// Opens a regular file.
    ///
    /// - Throws: ``FileError`` when there is no such file, it is a directory, a pipe or a device, or it may not be read.
    public init(path: FilePath) throws(FileError) {
        self.path = path
        do {
            // A pipe that nobody writes to would not open before somebody does.
            descriptor = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .nonBlocking])
        } catch let errno as Errno {
            throw FileError(.open, path, errno)
        } catch {
            throw FileError(.open, path, .ioError)
        }
        guard InputFile.hasPlaces(descriptor) else {
            try? descriptor.close()
            throw FileError(.irregular, path, nil)
        }
        do {
            size = Int(try descriptor.seek(offset: 0, from: .end))
        } catch {
            try? descriptor.close()
            throw FileError(.open, path, (error as? Errno) ?? .ioError)
        }
        // A directory opens, and seeks to the end of time; only reading it fails.
        var probe: UInt8 = 0
        do {
            _ = try withUnsafeMutableBytes(of: &probe) { try descriptor.read(fromAbsoluteOffset: 0, into: $0) }
        } catch {
            try? descriptor.close()
            throw FileError(.open, path, (error as? Errno) ?? .ioError)
        }
    }

    deinit {
        try? descriptor.close()
    }

    /// Whether an open file is a regular one, or a directory, which has an error of its own.
    private static func hasPlaces(_ descriptor: FileDescriptor) -> Bool {
        var status = stat()
        guard fstat(descriptor.rawValue, &status) == 0 else { return true }
        let kind = status.st_mode & S_IFMT
        return kind == S_IFREG || kind == S_IFDIR
    }

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// - Throws: ``FileError`` when the file ends early (it shrank since it was opened) or the device fails.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileError) {
        var done = 0
        while done < buffer.count {
            let count: Int
            do {
                count = try descriptor.read(
                    fromAbsoluteOffset: Int64(offset + done),
                    into: UnsafeMutableRawBufferPointer(rebasing: buffer[done...]))
            } catch {
                throw FileError(.read, path, (error as? Errno) ?? .ioError)
            }
            guard count > 0 else { throw FileError(.endedEarly, path, nil) }
            done += count
        }
    }

    /// The bytes of a range, in memory of their own.
    public func bytes(_ range: Range<Int>) throws(FileError) -> [UInt8] {
        var failure: FileError?
        let bytes = [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
            do throws(FileError) {
                try read(into: UnsafeMutableRawBufferPointer(buffer), at: range.lowerBound)
                count = range.count
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    // MARK: - In place

    /// The size from which on bytes are not copied: below, one system call costs less than the pages do.
    static let leastBytesInPlace = 1 << 15

    /// Calls `body` with the bytes from `offset` on, as many as `buffer` has room for: where they are in memory, if they
    /// are many, else read into `buffer`. They have whatever alignment they have in the file. The pointer must not leave
    /// `body`.
    ///
    /// `body` may see zeros instead of bytes that have gone while it runs; then what it does is in vain, and what it returns
    /// or throws is dropped.
    ///
    /// - Throws: ``FileError`` when the file ends early or the device fails, as ``read(into:at:)``; what `body` throws.
    public func withBytes<Result>(
        at offset: Int, using buffer: UnsafeMutableRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        if let result = try withBytesInPlace(offset..<offset + buffer.count, body) { return result }
        try read(into: buffer, at: offset)
        return try body(UnsafeRawBufferPointer(buffer))
    }

    /// The same, with memory of its own if that takes any.
    public func withBytes<Result>(
        _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        try withBytesInPlace(range, body) ?? bytes(range).withUnsafeBytes(body)
    }

    /// - Returns: `nil` when the bytes have to be read.
    private func withBytesInPlace<Result>(
        _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result? {
        guard range.count >= InputFile.leastBytesInPlace, range.upperBound <= size, let file = mappedFile else {
            return nil
        }
        let outcome = Swift.Result { try file.withBytes(range, body) }
        if case .success(nil) = outcome {
            // From here on single reads tell what can be read and what cannot.
            mapping.withLock { $0 = .impossible }
            throw reasonForLoss(of: range)
        }
        // The rest of a page that the file now ends in reads as zeros, too, and nobody says so.
        guard file_size(descriptor.rawValue) >= range.upperBound else { throw FileError(.endedEarly, path, nil) }
        return try outcome.get()
    }

    /// Why pages with these bytes could not be had.
    private func reasonForLoss(of range: Range<Int>) -> FileError {
        do throws(FileError) {
            for start in stride(from: range.lowerBound, to: range.upperBound, by: MappedFile.stretchBytes) {
                _ = try bytes(start..<min(start + MappedFile.stretchBytes, range.upperBound))
            }
            // It has grown again.
            return FileError(.endedEarly, path, nil)
        } catch {
            return error
        }
    }

    private var mappedFile: MappedFile? {
        mapping.withLock { mapping in
            if case .untried = mapping {
                mapping = MappedFile(descriptor: descriptor, size: size).map(Mapping.mapped) ?? .impossible
            }
            guard case .mapped(let file) = mapping else { return nil }
            return file
        }
    }
}

/// Why a file could not be used: the operation, the path and the system's reason.
public struct FileError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Operation: String, Hashable, Sendable {
        case open = "cannot open"
        case irregular = "is a pipe or a device; give a regular file, which can be read in any order"
        case read = "cannot read"
        case endedEarly = "ended before the expected byte while reading"
        case create = "cannot create"
        case write = "cannot write"
        case sync = "cannot sync to disk"
        case rename = "cannot put in place"
        case remove = "cannot remove"
        case list = "cannot list"
    }

    public let operation: Operation
    public let path: FilePath
    /// The system's reason; `nil` when the system reported success but too few bytes.
    public let errno: Errno?

    public init(_ operation: Operation, _ path: FilePath, _ errno: Errno?) {
        self.operation = operation
        self.path = path
        self.errno = errno
    }

    public var description: String {
        switch (operation, errno) {
        case (.endedEarly, _): "\(path): the file ended too early; it changed while it was read"
        case (_, let errno?): "\(path): \(operation.rawValue): \(errno)"
        case (_, nil): "\(path): \(operation.rawValue)"
        }
    }
}
