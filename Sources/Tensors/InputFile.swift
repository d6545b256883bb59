import SystemPackage

/// A file opened for positional reads, safe to use from several threads at once.
public final class InputFile: Sendable {
    public let path: FilePath
    /// The size in bytes when the file was opened.
    public let size: Int
    private let descriptor: FileDescriptor

    /// Opens a regular file.
    ///
    /// - Throws: ``FileError`` when there is no such file, it is a directory, or it may not be read.
    public init(path: FilePath) throws(FileError) {
        self.path = path
        do {
            descriptor = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec])
        } catch let errno as Errno {
            throw FileError(.open, path, errno)
        } catch {
            throw FileError(.open, path, .ioError)
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

    /// Maps the whole file into memory for reading without a copy.
    public func map() throws(FileError) -> MappedFile {
        try MappedFile(descriptor: descriptor, size: size, path: path)
    }
}

/// Why a file could not be used: the operation, the path and the system's reason.
public struct FileError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Operation: String, Hashable, Sendable {
        case open = "cannot open"
        case read = "cannot read"
        case endedEarly = "ended before the expected byte while reading"
        case map = "cannot map into memory"
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
