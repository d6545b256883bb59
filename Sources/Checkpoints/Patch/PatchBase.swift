import Synchronization

/// The checkpoint from which patches lead: any number of them at a time, made on any threads. What each needs to know of it
/// is found out once.
package final class PatchBase: Sendable {
    /// A piece of a stored tensor.
    private struct Piece: Hashable {
        let name: String
        let number: Int
    }

    let source: PatchSource
    let tree: PatchTree
    private let known = Mutex<[Piece: PatchFingerprint]>([:])

    /// - Throws: ``CheckpointError`` when it is not in safetensors, or has side files that are too large for a patch;
    ///   ``Tensors/FileError``.
    package init(_ model: ModelDirectory) throws {
        tree = try PatchSource.tree(of: model)
        source = try PatchSource(model)
    }

    /// The fingerprint of each member of a chunk.
    ///
    /// - Parameters:
    ///   - items: Whose pieces have the standard size, or any other that is the same in all calls.
    ///   - bytes: The chunk's bytes in the base, its members one after the other.
    func fingerprints(of chunk: PatchChunk, in items: PatchItems, _ bytes: UnsafeRawBufferPointer) -> [PatchFingerprint]
    {
        items.members(of: chunk, bytes).map { item, member in
            let piece = Piece(name: items.all[item].name, number: chunk.piece)
            if let fingerprint = known.withLock({ $0[piece] }) { return fingerprint }
            let fingerprint = PatchFingerprint(member)
            known.withLock { $0[piece] = fingerprint }
            return fingerprint
        }
    }
}
