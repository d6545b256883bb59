import SystemPackage
import Tensors

/// The shards of a checkpoint that several processes write, each some of them, and how they become one checkpoint.
///
/// Every process makes the same plan of shards from the same arguments as ``SafetensorsCheckpointWriter`` takes.
public struct ShardAssembly: Sendable {
    private let layout: CheckpointFiles

    /// - Throws: ``CheckpointError`` when the tensors cannot be written.
    public init(tensors: [LogicalTensor], metadata: [String: String], maximumShardSize: Int) throws(CheckpointError) {
        layout = try CheckpointFiles(tensors: tensors, metadata: metadata, maximumShardSize: maximumShardSize)
    }

    /// The names of the shards, in order.
    public var fileNames: [String] { layout.writers.map(\.name) }

    /// Bytes of tensor data in each shard.
    public var byteCounts: [Int] { layout.writers.map(\.expectedBytes) }

    /// The tensors in some of the shards.
    public func tensors(inShards shards: Range<Int>) -> Set<Int> {
        Set(layout.fileOfTensor.indices.filter { shards.contains(layout.fileOfTensor[$0]) })
    }

    /// Puts a checkpoint in place whose shards are written already, with its index and side files.
    ///
    /// The shards get a second name and keep the first, so that nothing is lost when this is interrupted.
    ///
    /// - Parameter paths: Where each shard is, on the destination's file system.
    /// - Throws: ``CheckpointError``; ``Tensors/FileError``. The destination is then as it was.
    public func assemble(
        _ paths: [FilePath], at destination: FilePath, sideFiles: [SideFile], force: Bool
    ) throws {
        let output = try StagedOutput(destination: destination, kind: .directory, force: force)
        do {
            var totalSize = 0
            for (path, name) in zip(paths, fileNames) {
                let shard = try SafetensorsFile(path: path)
                totalSize += shard.entries.reduce(0) { $0 + $1.byteCount }
                try FileSystem.link(path, to: output.path.appending(name))
            }
            var written = try sideFiles.map { try $0.write(to: output.path) }
            if let bytes = layout.indexBytes(totalSize: totalSize) {
                written.append(try SideFile(name: ModelFiles.index, content: .bytes(bytes)).write(to: output.path))
            }
            try SideFile.sync(written)
            try output.commit()
        } catch {
            output.abandon()
            throw error
        }
    }
}
