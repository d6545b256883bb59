import Tensors

/// What is compressed together: a piece of one item, or several whole small items of one kind. Each of its parts is a
/// stream.
package struct ContainerChunk: Hashable, Sendable {
    /// Indices into the index's items, ascending.
    package var items: [Int]
    /// Which piece of the item; 0 for whole items.
    package var piece: Int
    /// The parts that are not empty, in the order of the items' parts: those of its items one after the other.
    package private(set) var parts: [Part]
    /// One stream for each of the parts.
    package var streams: [StoredStream] = []

    package struct Part: Hashable, Sendable {
        package let part: TensorPart
        package let byteCount: Int
    }

    package var byteCount: Int { parts.reduce(0) { $0 + $1.byteCount } }

    package init(items: [Int], piece: Int, of index: ContainerIndex) {
        self.items = items
        self.piece = piece
        parts = []
        guard let first = items.first else { return }
        parts = index.items[first].parts.compactMap { part, _ in
            let byteCount = items.reduce(0) {
                $0 + index.items[$1].range(of: part, piece: piece, pieceSizeLog2: index.pieceSizeLog2).count
            }
            return byteCount > 0 ? Part(part: part, byteCount: byteCount) : nil
        }
    }
}

extension ContainerChunk {
    /// Where each block of codes starts in the chunk's codes, and at last where they end.
    package func blockOffsets(_ index: ContainerIndex) -> [UInt32] {
        var offsets: [UInt32] = [0]
        for item in self.items {
            guard let blocksize = index.items[item].encoding.blockQuantization?.blocksize else { continue }
            let end = Int(offsets[offsets.count - 1])
            let codes = index.items[item].range(of: .codes, piece: piece, pieceSizeLog2: index.pieceSizeLog2).count
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

extension ContainerIndex {
    /// Cuts items into chunks, in the order in which a writer that sees the items one after the other completes them.
    package func plannedChunks(_ indices: Range<Int>, groupsSmallItems: Bool) -> [ContainerChunk] {
        var planned: [(items: [Int], piece: Int)] = []
        var open: [ChunkKind: (items: [Int], byteCount: Int)] = [:]
        let limit = 1 << pieceSizeLog2
        for index in indices {
            let byteCount = items[index].byteCount(of: items[index].mainPart)
            let pieceCount = items[index].pieceCount(pieceSizeLog2: pieceSizeLog2)
            guard groupsSmallItems, pieceCount == 1, byteCount < limit else {
                planned += (0..<pieceCount).map { ([index], $0) }
                continue
            }
            let kind = ChunkKind(items[index])
            if let full = open[kind], full.byteCount + byteCount > limit {
                planned.append((full.items, 0))
                open[kind] = nil
            }
            open[kind, default: ([], 0)].items.append(index)
            open[kind, default: ([], 0)].byteCount += byteCount
        }
        planned += open.values.map { ($0.items, 0) }
        // A chunk is complete with its last item; no two chunks end with the same piece of the same item.
        planned.sort { ($0.items.last ?? 0, $0.piece) < ($1.items.last ?? 0, $1.piece) }
        return planned.map { ContainerChunk(items: $0.items, piece: $0.piece, of: self) }
    }
}
