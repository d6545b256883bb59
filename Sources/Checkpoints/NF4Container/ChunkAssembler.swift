import Synchronization
import Tensors

/// Collects the bytes of chunks that arrive in pieces, in any order and from several threads.
final class ChunkAssembler: Sendable {
    private struct Assembly {
        let bytes: HeldBytes
        var missing: Int
    }

    private struct State {
        var open: [Int: Assembly] = [:]
        var complete: Set<Int> = []
    }

    private let pool: HoldingPool
    private let state = Mutex(State())

    init(pool: HoldingPool) {
        self.pool = pool
    }

    /// Takes note of a chunk that arrived whole. Answers false when there are bytes of it already.
    func noteWhole(_ chunk: Int) -> Bool {
        state.withLock { $0.open[chunk] == nil && $0.complete.insert(chunk).inserted }
    }

    /// Adds bytes to a chunk of `byteCount` bytes.
    ///
    /// - Returns: The chunk's bytes if it is complete now.
    /// - Throws: ``CheckpointError/unwritable(reason:)`` when bytes arrive twice; ``Tensors/FileError``.
    func add(_ bytes: UnsafeRawBufferPointer, toChunk chunk: Int, at offset: Int, of byteCount: Int) throws
        -> HeldBytes?
    {
        let held = try state.withLock { state throws(CheckpointError) in
            guard !state.complete.contains(chunk) else { throw ChunkAssembler.writtenTwice }
            if let assembly = state.open[chunk] { return assembly.bytes }
            let held = HeldBytes(byteCount: byteCount, pool: pool)
            state.open[chunk] = Assembly(bytes: held, missing: byteCount)
            return held
        }
        try held.write(bytes, at: offset)
        return try state.withLock { state throws(CheckpointError) in
            guard let assembly = state.open[chunk], assembly.missing >= bytes.count else {
                throw ChunkAssembler.writtenTwice
            }
            guard assembly.missing == bytes.count else {
                state.open[chunk]?.missing -= bytes.count
                return nil
            }
            state.open[chunk] = nil
            state.complete.insert(chunk)
            return held
        }
    }

    static let writtenTwice = CheckpointError.unwritable(reason: "some bytes of a tensor were written twice")
}
