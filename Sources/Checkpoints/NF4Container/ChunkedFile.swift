import Tensors

/// A file under construction whose chunks arrive in pieces, in any order and from several threads, and are put into it in
/// their order.
struct ChunkedFile: Sendable {
    let file: OutputFile
    let assembler: ChunkAssembler
    let sequencer: ChunkSequencer

    /// Creates the file of a staged output; when that fails, the output is abandoned.
    ///
    /// - Parameter memoryLimit: Bytes that may wait in memory before a temporary file beside the output is used.
    init(_ output: StagedOutput, memoryLimit: Int) throws {
        do {
            file = try OutputFile(creating: output.path)
            let spill = try SpillFile(path: output.path.removingLastComponent().appending("waiting"))
            let pool = HoldingPool(limit: memoryLimit, spill: spill)
            assembler = ChunkAssembler(pool: pool)
            sequencer = ChunkSequencer(file: file, pool: pool)
        } catch {
            output.abandon()
            throw error
        }
    }
}
