import Tensors

/// The stored tensors of a checkpoint under the names that bitsandbytes and safetensors give them, whatever files hold them.
struct PieceSource: Sendable {
    struct Piece: Sendable {
        let description: SafetensorsPiece
        fileprivate let content: PlannedPiece.Content
        /// Index into the reader's tensors.
        fileprivate let tensor: Int
    }

    let pieces: [String: Piece]
    private let reader: any CheckpointReader

    init(_ reader: any CheckpointReader) throws(CheckpointError) {
        self.reader = reader
        var pieces: [String: Piece] = [:]
        for (index, tensor) in reader.tensors.enumerated() {
            for planned in try tensor.plannedPieces() {
                pieces[planned.piece.name] = Piece(
                    description: planned.piece, content: planned.content, tensor: index)
            }
        }
        self.pieces = pieces
    }

    /// Reads bytes of a piece, which must have them.
    func read(_ name: String, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        guard let piece = pieces[name], offset >= 0, offset + buffer.count <= piece.description.byteCount else {
            throw CheckpointError.unwritable(reason: "the tensor \"\(name)\" has no bytes from \(offset) on")
        }
        switch piece.content {
        case .part(let part): try reader.read(part, ofTensor: piece.tensor, at: offset, into: buffer)
        case .constant(let bytes):
            bytes.withUnsafeBytes {
                buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<offset + buffer.count]))
            }
        case .pendingQuantState:
            throw CheckpointError.unwritable(reason: "the quant state \"\(name)\" is not known yet")
        }
    }

    /// Reads a chunk of a patch: its members one after the other.
    func read(_ chunk: PatchChunk, of items: PatchItems, into buffer: UnsafeMutableRawBufferPointer) throws {
        var position = 0
        for item in chunk.items {
            let range = items.range(item, piece: chunk.piece)
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[position..<position + range.count])
            try read(items.all[item].name, at: range.lowerBound, into: part)
            position += range.count
        }
    }
}
