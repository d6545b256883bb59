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

    /// The files of weights; only of safetensors, because a container's bytes could not be restored.
    ///
    /// - Throws: ``CheckpointError/notACheckpoint(path:found:wayOut:)`` for a container.
    static func tree(of model: ModelDirectory) throws -> PatchTree {
        guard model.container == nil else {
            throw CheckpointError.notACheckpoint(
                path: model.path, found: "is a container, and a patch lies between checkpoints in safetensors",
                wayOut: "unpack it first: qconv convert \(model.path) DIRECTORY")
        }
        let files = model.reader.files
        let weights = files.filter { $0.extension != "json" }
        let first = files.first { $0.extension == "json" } ?? weights.first
        return try PatchTree(weights, in: first?.removingLastComponent() ?? model.path)
    }
}
