import Synchronization
import SystemPackage
import Tensors

/// A file or directory that is written beside its destination, in `.NAME.qconv-partial`, and put in place when it is
/// complete.
///
/// A crash, a full disk or an interruption leaves the destination as it was; the next run removes what is left of this
/// one. Two processes cannot write one destination at the same time.
public final class StagedOutput: Sendable {
    public enum Kind: Hashable, Sendable {
        case file
        case directory
    }

    private enum State {
        case writing
        case committed
        case abandoned
    }

    /// Where the output will stand, without symbolic links.
    public let destination: FilePath
    /// Where it is to be written: a file that the caller creates, or a directory that exists and is empty.
    public let path: FilePath

    private let kind: Kind
    private let force: Bool
    private let lock: StagingLock
    /// Directories above the destination that were made for it, outermost first.
    private let createdParents: [FilePath]
    private let state = Mutex(State.writing)

    /// Prepares to write.
    ///
    /// - Parameter force: Whether what stands at the destination is replaced.
    /// - Throws: ``CheckpointError`` when the destination may not be written (see ``OutputDestination``), is of the other
    ///   kind, or is being written by another process; ``Tensors/FileError``.
    public init(destination given: FilePath, kind: Kind, force: Bool) throws {
        try OutputDestination(given).check(force: force)
        destination = FileSystem.resolvedParents(given)
        self.kind = kind
        self.force = force
        guard let name = destination.lastComponent else {
            throw CheckpointError.unusableDestination(path: given, reason: "it names no new file or directory")
        }
        try StagedOutput.checkKind(given, kind)
        let staging = StagedOutput.staging(of: destination, name: name)
        path = staging.appending(name)
        let (parents, lock) = try StagedOutput.acquire(staging, of: destination)
        createdParents = parents
        do {
            guard let lock else { throw CheckpointError.destinationBusy(path: given, staging: staging) }
            self.lock = lock
            try StagedOutput.recover(lock, destination: destination)
            if kind == .directory { try FileSystem.createDirectory(path) }
        } catch {
            createdParents.reversed().forEach(FileSystem.removeIfEmpty)
            throw error
        }
    }

    deinit {
        abandon()
    }

    private static func staging(of destination: FilePath, name: FilePath.Component) -> FilePath {
        destination.removingLastComponent().appending(".\(name.string).qconv-partial")
    }

    /// Removes what a killed process has left beside a destination, unless another one is at work there.
    package static func clearLeftovers(beside given: FilePath) throws(FileError) {
        let destination = FileSystem.resolvedParents(given)
        guard let name = destination.lastComponent else { return }
        let staging = staging(of: destination, name: name)
        guard FileSystem.kind(of: staging, followingLinks: false) == .directory,
            let lock = try StagingLock.acquire(staging)
        else { return }
        try recover(lock, destination: destination)
        try lock.removeDirectory()
    }

    /// Makes sure that nothing has appeared at the destination meanwhile, unless it is to be replaced.
    ///
    /// - Throws: ``CheckpointError/destinationExists(_:)``.
    func checkDestination() throws(CheckpointError) {
        guard !force, FileSystem.kind(of: destination, followingLinks: false) != nil else { return }
        throw .destinationExists(destination)
    }

    /// Puts the output in place. Its files must be complete and synced.
    ///
    /// At no time is there neither the old nor the new output; where the file system can swap names, at no time does the
    /// destination's name lead nowhere.
    ///
    /// - Throws: ``CheckpointError/destinationExists(_:)`` when something has appeared there meanwhile and is not to be
    ///   replaced; ``Tensors/FileError``. The destination is then as it was.
    public func commit() throws {
        try state.withLock { state in
            guard state == .writing else {
                if state == .committed { return }
                throw CheckpointError.unusableDestination(path: destination, reason: "the output was abandoned")
            }
            if kind == .directory { try FileSystem.syncDirectory(path) }
            if force {
                try replace()
            } else {
                do throws(FileError) {
                    try FileSystem.renameToNew(path, to: destination)
                } catch {
                    guard error.errno == .fileExists || error.errno == .directoryNotEmpty else { throw error }
                    throw CheckpointError.destinationExists(destination)
                }
            }
            state = .committed
            // From here on the output stands: what goes wrong now must not be taken for a failure.
            try? FileSystem.syncDirectory(destination.removingLastComponent())
            try? lock.removeDirectory()
        }
    }

    /// Removes everything that was written. Does nothing after ``commit()``.
    public func abandon() {
        state.withLock { state in
            guard state == .writing else { return }
            state = .abandoned
            try? lock.removeDirectory()
            createdParents.reversed().forEach(FileSystem.removeIfEmpty)
        }
    }

    private func replace() throws(FileError) {
        guard FileSystem.kind(of: destination, followingLinks: false) != nil else {
            return try FileSystem.rename(path, to: destination)
        }
        // Replacing a file is one step anywhere.
        if kind == .file { return try FileSystem.rename(path, to: destination) }
        if try FileSystem.exchange(path, destination) { return }
        let old = lock.directory.appending(StagedOutput.replacedName)
        try FileSystem.rename(destination, to: old)
        do throws(FileError) {
            try FileSystem.rename(path, to: destination)
        } catch {
            try FileSystem.rename(old, to: destination)
            throw error
        }
    }

    /// Where the old output waits, if names cannot be swapped, while the new one takes its place.
    private static let replacedName = "replaced"

    /// Removes what a killed process left, but first puts back an old output that it was replacing.
    private static func recover(_ lock: StagingLock, destination: FilePath) throws(FileError) {
        let old = lock.directory.appending(replacedName)
        if FileSystem.kind(of: old, followingLinks: false) != nil,
            FileSystem.kind(of: destination, followingLinks: false) == nil
        {
            try FileSystem.rename(old, to: destination)
        }
        try lock.clear()
    }

    private static func checkKind(_ path: FilePath, _ kind: Kind) throws(CheckpointError) {
        switch (FileSystem.kind(of: path), kind) {
        case (.directory?, .file):
            throw .destinationNotReplaceable(path: path, reason: "it is a directory, and the output is a file")
        case (.file?, .directory):
            throw .destinationNotReplaceable(path: path, reason: "it is a file, and the output is a directory")
        default: return
        }
    }

    /// Makes the directories above a destination, and in them the staging directory.
    ///
    /// - Returns: The directories that were missing, outermost first; no lock when another process has the staging directory.
    private static func acquire(
        _ staging: FilePath, of destination: FilePath
    ) throws(FileError) -> (parents: [FilePath], StagingLock?) {
        // Another conversion that gives up removes directories that are still empty, between our steps: then start again.
        for _ in 0..<100 {
            let parents = try createParents(of: destination)
            do throws(FileError) {
                return (parents, try StagingLock.acquire(staging))
            } catch {
                guard error.errno == .noSuchFileOrDirectory else {
                    parents.reversed().forEach(FileSystem.removeIfEmpty)
                    throw error
                }
            }
        }
        throw FileError(.create, staging, .noSuchFileOrDirectory)
    }

    private static func createParents(of destination: FilePath) throws(FileError) -> [FilePath] {
        let missing = FileSystem.missingDirectories(above: destination)
        for directory in missing {
            do throws(FileError) {
                try FileSystem.createDirectory(directory)
            } catch {
                guard error.errno == .fileExists else { throw error }
            }
        }
        return missing
    }
}
