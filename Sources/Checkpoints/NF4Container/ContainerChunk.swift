import Tensors

/// What is compressed together: a piece of one item, or several whole small items of one kind. Each of its parts is a
/// stream.
package struct ContainerChunk: Hashable, Sendable {
    /// Indices into the index's items, ascending.
    package var items: [Int]
    /// Which piece of the item; 0 for whole items.
    package var piece: Int
    /// One stream for each of the parts, in the order of the item's parts, without empty ones.
    package var streams: [StoredStream] = []
}

extension ContainerChunk {
    /// The chunk's parts that are not empty, and their sizes: the parts of its items one after the other.
    package func parts(_ items: [LogicalTensor], pieceSizeLog2: Int) -> [(part: TensorPart, byteCount: Int)] {
        guard let first = self.items.first else { return [] }
        return items[first].parts.compactMap { part, _ in
            let byteCount = self.items.reduce(0) {
                $0 + items[$1].range(of: part, piece: piece, pieceSizeLog2: pieceSizeLog2).count
            }
            return byteCount > 0 ? (part, byteCount) : nil
        }
    }

    /// Where each block of codes starts in the chunk's codes, and at last where they end.
    package func blockOffsets(_ items: [LogicalTensor], pieceSizeLog2: Int) -> [UInt32] {
        var offsets: [UInt32] = [0]
        for item in self.items {
            guard let blocksize = items[item].encoding.blockQuantization?.blocksize else { continue }
            let end = Int(offsets[offsets.count - 1])
            let codes = items[item].range(of: .codes, piece: piece, pieceSizeLog2: pieceSizeLog2).count
            for start in stride(from: 0, to: codes, by: blocksize / 2) {
                offsets.append(UInt32(end + min(codes, start + blocksize / 2)))
            }
        }
        return offsets
    }
}

/// What makes tensors fit to share a chunk.
package enum ChunkKind: Hashable, Sendable {
    case dense(DType)
    case quantized(QuantType, blocksize: Int, nestedBlocksize: Int?)

    package init(_ tensor: LogicalTensor) {
        switch tensor.encoding {
        case .dense(let dtype): self = .dense(dtype)
        case .blockQuantized(let quantization):
            self = .quantized(
                quantization.quantType, blocksize: quantization.blocksize,
                nestedBlocksize: quantization.doubleQuantization?.blocksize)
        }
    }
}

/// Cuts items into chunks in the order in which a writer that sees the items one after the other completes them.
package func planChunks(
    _ items: [LogicalTensor], indices: Range<Int>, pieceSizeLog2: Int, groupsSmallItems: Bool
) -> [ContainerChunk] {
    var chunks: [ContainerChunk] = []
    var open: [ChunkKind: (items: [Int], byteCount: Int)] = [:]
    let limit = 1 << pieceSizeLog2
    for index in indices {
        let item = items[index]
        let byteCount = item.byteCount(of: item.mainPart)
        let pieceCount = item.pieceCount(pieceSizeLog2: pieceSizeLog2)
        guard groupsSmallItems, pieceCount == 1, byteCount < limit else {
            chunks += (0..<pieceCount).map { ContainerChunk(items: [index], piece: $0) }
            continue
        }
        let kind = ChunkKind(item)
        if let full = open[kind], full.byteCount + byteCount > limit {
            chunks.append(ContainerChunk(items: full.items, piece: 0))
            open[kind] = nil
        }
        open[kind, default: ([], 0)].items.append(index)
        open[kind, default: ([], 0)].byteCount += byteCount
    }
    chunks += open.values.map { ContainerChunk(items: $0.items, piece: 0) }
    // A chunk is complete with its last item; no two chunks end with the same piece of the same item.
    return chunks.sorted { ($0.items.last ?? 0, $0.piece) < ($1.items.last ?? 0, $1.piece) }
}
