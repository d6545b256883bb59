import Synchronization
import Tensors
import Workers

extension OutputFile {
    /// Threads that wait for the disk at a time: what they ask of it, it can do together.
    private static let syncThreads = 8

    /// Returns once the data of all files is on the disk.
    ///
    /// - Throws: What went wrong with any of them.
    static func sync(_ files: [OutputFile]) throws(FileError) {
        let failure = Mutex<FileError?>(nil)
        forEachOnThreads(files.count, threads: syncThreads) { index in
            do throws(FileError) {
                try files[index].sync()
            } catch {
                failure.withLock { $0 = error }
            }
        }
        if let failure = failure.withLock({ $0 }) { throw failure }
    }
}
