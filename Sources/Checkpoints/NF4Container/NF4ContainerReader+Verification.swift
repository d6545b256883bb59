import Tensors

extension NF4ContainerReader {
    /// What ``verify(chunk:)`` can be called with, from several threads if you like: everything in the file but the header
    /// and the index, which opening has checked.
    public var chunkCount: Int { store.index.chunks.count }

    /// Checks every byte of the file, in the memory of a piece: checksums, and that every stream decompresses to
    /// exactly its size.
    ///
    /// - Returns: What is damaged, in the order of the file; empty for a sound container.
    /// - Throws: ``Tensors/FileError`` when the file cannot be read.
    public func verify() throws -> [NF4ContainerDamage] {
        try (0..<chunkCount).flatMap { try verify(chunk: $0) }
    }

    /// Checks one chunk: a piece of a tensor, or several small tensors or files.
    public func verify(chunk number: Int) throws -> [NF4ContainerDamage] {
        let index = store.index
        let chunk = index.chunks[number]
        var damages: [NF4ContainerDamage] = []
        for (stream, part) in zip(chunk.streams, chunk.parts) {
            do {
                try withUnsafeTemporaryAllocation(byteCount: part.byteCount, alignment: InputFile.bufferAlignment) {
                    try store.decode(stream, part.part, ofChunk: number, into: $0)
                }
            } catch CheckpointError.invalidContainer(_, .damagedData(let damage)) {
                // Codes in the order of their scales cannot be read when the scales are damaged: that is one damage.
                if !damages.contains(damage) { damages.append(damage) }
            }
        }
        return damages
    }
}

/// Where the bytes of a container go.
public struct NF4ContainerSizes: Hashable, Sendable {
    public var fileSize = 0
    /// Header and index: names, shapes, quant states, checksums, adapter configurations.
    public var indexSize = 0
    /// Stored bytes of the model's 4-bit tensors, scales included.
    public var quantizedSize = 0
    /// Stored bytes of the model's dense tensors.
    public var denseSize = 0
    public var adapterSize = 0
    public var sideFileSize = 0
    public var provenanceSize = 0
    /// Weights in 4-bit tensors of the model.
    public var quantizedWeights = 0
    /// Weights in all tensors of the model.
    public var weights = 0

    /// Bits that a quantized weight takes, with the whole header and index counted; `nil` without such weights.
    public var bitsPerQuantizedWeight: Double? {
        quantizedWeights > 0 ? Double(quantizedSize + indexSize) * 8 / Double(quantizedWeights) : nil
    }

    /// Bits that a weight of the model takes: the file over the weights.
    public var bitsPerWeight: Double? { weights > 0 ? Double(fileSize) * 8 / Double(weights) : nil }
}

extension NF4ContainerReader {
    /// Where the bytes go, from the index alone.
    public var sizes: NF4ContainerSizes {
        var sizes = NF4ContainerSizes()
        sizes.fileSize = store.file.size
        sizes.indexSize = SealedHeader.byteCount + Int(store.header.indexStoredSize)
        for chunk in store.index.chunks {
            let stored = chunk.streams.reduce(0) { $0 + $1.storedSize }
            switch store.index.section(of: chunk.items[0]) {
            case .tensor where tensors[chunk.items[0]].encoding.denseDType == nil: sizes.quantizedSize += stored
            case .tensor: sizes.denseSize += stored
            case .adapterTensor: sizes.adapterSize += stored
            case .sideFile: sizes.sideFileSize += stored
            case .provenance: sizes.provenanceSize += stored
            }
        }
        for tensor in tensors {
            sizes.weights += tensor.elementCount
            if tensor.encoding.denseDType == nil { sizes.quantizedWeights += tensor.elementCount }
        }
        return sizes
    }
}
