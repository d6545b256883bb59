import Checkpoints
import SystemPackage
import Tensors

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// The files of a directory that PEFT's `save_pretrained` wrote.
struct AdapterDirectory {
    let configuration: FilePath
    let weights: FilePath

    /// Looks for the two files.
    ///
    /// - Throws: ``AdapterError`` saying what was found in their place; ``Tensors/FileError`` when the directory cannot be
    ///   read.
    init(_ path: FilePath) throws {
        switch AdapterDirectory.kind(of: path) {
        case .directory: break
        case .other: throw AdapterError.notADirectory(path)
        case .unreachable(let errno): throw FileError(.open, path, errno)
        }
        configuration = path.appending(AdapterFiles.configuration)
        guard AdapterDirectory.exists(configuration) else {
            let nearby = try AdapterDirectory.entries(of: path)
                .filter { AdapterDirectory.exists(path.appending($0).appending(AdapterFiles.configuration)) }
            throw AdapterError.noConfiguration(directory: path, nearby: nearby)
        }
        guard let weights = AdapterFiles.weights(in: path) else {
            try AdapterDirectory.refuseUnreachable(AdapterFiles.weightsNames.map { path.appending($0) })
            throw AdapterError.noWeights(directory: path)
        }
        self.weights = weights
    }

    /// Tells files that are not there from those that may not be looked at.
    private static func refuseUnreachable(_ paths: [FilePath]) throws(FileError) {
        for path in paths where exists(path) {
            if case .unreachable(let errno) = kind(of: path) { throw FileError(.open, path, errno) }
        }
    }

    private enum Kind {
        case directory
        case other
        case unreachable(Errno)
    }

    private static func kind(of path: FilePath) -> Kind {
        var status = stat()
        guard path.withPlatformString({ stat($0, &status) }) == 0 else {
            return .unreachable(Errno(rawValue: errno))
        }
        return status.st_mode & S_IFMT == S_IFDIR ? .directory : .other
    }

    private static func exists(_ path: FilePath) -> Bool {
        if case .unreachable(.noSuchFileOrDirectory) = kind(of: path) { return false }
        if case .unreachable(.notDirectory) = kind(of: path) { return false }
        return true
    }

    /// The names in a directory, `checkpoint-50` before `checkpoint-200`.
    private static func entries(of directory: FilePath) throws(FileError) -> [String] {
        try FileSystem.names(in: directory)
            .sorted { ($0.utf8.count, Array($0.utf8)) < ($1.utf8.count, Array($1.utf8)) }
    }
}

private func < (left: (Int, [UInt8]), right: (Int, [UInt8])) -> Bool {
    left.0 != right.0 ? left.0 < right.0 : left.1.lexicographicallyPrecedes(right.1)
}
