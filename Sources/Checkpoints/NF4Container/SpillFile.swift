import Synchronization
import SystemPackage
import Tensors

/// A temporary file without a name, for data that memory has no room for. Safe to use from several threads; its space is
/// returned when it is released, also after a crash.
final class SpillFile: Sendable {
    private let path: FilePath
    private let descriptor: FileDescriptor
    private struct State {
        var end = 0
        /// Released places by size.
        var free: [Int: [Int]] = [:]
    }
    private let state = Mutex(State())

    /// - Parameter path: A path that does not exist yet, on the file system to use.
    init(path: FilePath) throws(FileError) {
        self.path = path
        do {
            descriptor = try FileDescriptor.open(
                path, .readWrite, options: [.create, .exclusiveCreate, .closeOnExec], permissions: [.ownerReadWrite])
        } catch {
            throw FileError(.create, path, (error as? Errno) ?? .ioError)
        }
        do throws(FileError) {
            try FileSystem.remove(path)
        } catch {
            try? descriptor.close()
            throw error
        }
    }

    deinit {
        try? descriptor.close()
    }

    /// A place of this size.
    func reserve(_ byteCount: Int) -> Int {
        state.withLock { state in
            if let place = state.free[byteCount]?.popLast() { return place }
            defer { state.end += byteCount }
            return state.end
        }
    }

    func release(_ place: Int, byteCount: Int) {
        state.withLock { $0.free[byteCount, default: []].append(place) }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
        var done = 0
        while done < bytes.count {
            do {
                done += try descriptor.write(
                    toAbsoluteOffset: Int64(offset + done), UnsafeRawBufferPointer(rebasing: bytes[done...]))
            } catch {
                throw FileError(.write, path, (error as? Errno) ?? .ioError)
            }
        }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileError) {
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
}
