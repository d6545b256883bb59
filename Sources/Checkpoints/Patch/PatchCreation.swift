import SystemPackage
import Tensors
import Workers

/// Makes a patch from two checkpoints that are there.
public struct PatchCreation: Sendable {
    private let base: PatchBase
    private let target: PatchSource
    private let targetTree: PatchTree

    /// - Throws: ``CheckpointError`` when one of them is not in safetensors, or too little of the target can be taken over from
    ///   the base for a patch to make sense.
    public init(base: ModelDirectory, target: ModelDirectory) throws {
        self.base = try PatchBase(base)
        targetTree = try PatchSource.tree(of: target)
        self.target = try PatchSource(target)
        try PatchCreation.checkLikeness(self.base.tree, targetTree, path: target.path)
    }

    /// Refuses a target most of which is stored in another way than in the base: the patch would hold both of them.
    private static func checkLikeness(_ base: PatchTree, _ target: PatchTree, path: FilePath) throws {
        let items = PatchItems(base: base, target: target, pieceSizeLog2: PatchFormat.standardPieceSizeLog2)
        let ofTarget = items.all.filter { $0.presence != .baseOnly }
        let strange = ofTarget.filter { $0.presence == .targetOnly }
        func bytes(_ items: [PatchItem]) -> Int { items.reduce(0) { $0 + $1.byteCount } }
        guard bytes(strange) * 2 > bytes(ofTarget), let first = strange.max(by: { $0.byteCount < $1.byteCount }) else {
            return
        }
        let before = base.entries.first { $0.name == first.name }
        throw CheckpointError.unwritable(
            reason: """
                \(path): a patch would be as large as the model: most of it, such as "\(first.name)", is \
                \(before == nil ? "not in the base" : "stored in another dtype or shape than in the base"); \
                keep the whole checkpoint, or start from a base in the same encoding
                """)
    }

    /// Compares the checkpoints and writes the patch.
    ///
    /// - Parameters:
    ///   - isCancelled: Asked all the time; when it turns true, nothing is left behind and `Interrupted` is thrown.
    ///   - progress: Told how many of all bytes have been compared, from any thread.
    /// - Throws: ``CheckpointError``; ``Tensors/FileError``.
    public func write(
        to destination: FilePath, force: Bool = false, threads: Int? = nil,
        isCancelled: @escaping @Sendable () -> Bool = { false },
        progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void = { _, _ in }
    ) throws {
        try write(
            to: destination, force: force, threads: threads ?? coreCount,
            pieceSizeLog2: PatchFormat.standardPieceSizeLog2,
            isCancelled: isCancelled, progress: progress)
    }

    package func write(
        to destination: FilePath, force: Bool, threads: Int, pieceSizeLog2: Int,
        isCancelled: @escaping @Sendable () -> Bool = { false },
        progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void = { _, _ in }
    ) throws {
        let builder = try PatchBuilder(
            destination: destination, base: base, target: targetTree, force: force, pieceSizeLog2: pieceSizeLog2)
        do {
            let items = builder.items
            let total = items.all.reduce(0) { $0 + $1.byteCount }
            let supervisor = Supervisor(isCancelled: isCancelled) { progress($0, total) }
            let jobs = JobList(counts: [items.earlyChunkCount])
            runOnThreads(threads) { _ in
                while supervisor.shouldGoOn, let (_, number) = jobs.claim(from: 0) {
                    supervisor.watch {
                        let chunk = items.chunks[number]
                        guard items.all[chunk.items[0]].presence != .baseOnly else { return }
                        let byteCount = items.byteCount(chunk)
                        try withUnsafeTemporaryAllocation(byteCount: byteCount, alignment: InputFile.bufferAlignment) {
                            buffer in
                            try target.pieces.read(chunk, of: items, into: buffer)
                            try builder.complete(number, of: items, target: UnsafeRawBufferPointer(buffer))
                        }
                        supervisor.advance(by: byteCount)
                    }
                }
            }
            try supervisor.checkFailure()
            let indices = [base.source.shardIndex, target.shardIndex].compactMap { $0?.name }
            try builder.finish(
                target: targetTree,
                sideFiles: PatchSideFile.pairs(
                    base: base.source.allFiles, target: target.allFiles, isHeld: indices.contains)
            ) { name in
                var bytes = [UInt8](repeating: 0, count: target.pieces.pieces[name]?.description.byteCount ?? 0)
                try bytes.withUnsafeMutableBytes { try target.pieces.read(name, at: 0, into: $0) }
                return bytes
            }
            try builder.commit()
        } catch {
            builder.abandon()
            throw error
        }
    }
}
