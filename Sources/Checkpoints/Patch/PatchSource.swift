import SystemPackage
import Tensors

/// A checkpoint on disk as one side of a patch.
struct PatchSource: Sendable {
    /// The path as it was given.
    let path: FilePath
    let pieces: PieceSource
    /// Side files, without the index of shards.
    let sideFiles: [PatchSideFile.Named]
    /// The index of shards, if there is one.
    let shardIndex: PatchSideFile.Named?

    init(_ model: ModelDirectory) throws {
        path = model.path
        pieces = try PieceSource(model.reader)
        sideFiles = try model.storedFiles().map { try PatchSideFile.Named($0) }
        shardIndex = try model.reader.files.first { $0.extension == "json" }.map { path in
            try PatchSideFile.Named(SideFile(name: path.lastComponent?.string ?? "", content: .copy(of: path)))
        }
        for file in allFiles where file.bytes.count > PatchFormat.maximumSideFileSize {
            throw CheckpointError.unwritable(
                reason:
                    "\"\(file.name)\" has \(file.bytes.count) bytes; a patch takes side files of up to \(PatchFormat.maximumSideFileSize)"
            )
        }
    }

    /// Everything beside the weights.
    var allFiles: [PatchSideFile.Named] { sideFiles + (shardIndex.map { [$0] } ?? []) }

    func bytes(ofSideFile name: String) -> [UInt8]? { sideFiles.first { $0.name == name }?.bytes }

    /// The files of weights; only of safetensors, because the bytes of others could not be restored.
    ///
    /// - Throws: ``CheckpointError/notACheckpoint(path:found:wayOut:)`` for a container, and for PyTorch's files.
    static func tree(of model: ModelDirectory) throws -> PatchTree {
        if let obstacle = model.patchObstacle {
            throw CheckpointError.notACheckpoint(path: model.path, found: obstacle.found, wayOut: obstacle.wayOut)
        }
        let files = model.reader.files
        let weights = files.filter { $0.extension != "json" }
        let first = files.first { $0.extension == "json" } ?? weights.first
        return try PatchTree(weights, in: first?.removingLastComponent() ?? model.path)
    }
}

extension ModelDirectory {
    /// Why no patch leads from this model or to it, and what to do about that; `nil` when one can.
    package var patchObstacle: (found: String, wayOut: String)? {
        let patches = "a patch lies between checkpoints in safetensors"
        if container != nil {
            return ("is a container, and \(patches)", "unpack it first: qconv convert \(path) DIRECTORY")
        }
        let isPyTorch = reader.files.contains { WeightsFormat(fileName: $0.lastComponent?.string ?? "") == .pyTorch }
        guard isPyTorch else { return nil }
        return ("has PyTorch's files, and \(patches)", "convert it first: qconv convert \(path) DIRECTORY")
    }
}
