import Tensors

/// What an NF4 container says about its contents: everything but the data itself.
package struct ContainerIndex: Hashable, Sendable {
    package var pieceSizeLog2 = NF4ContainerFormat.standardPieceSizeLog2
    /// Model tensors, then the adapters' tensors, then side files, then the provenance. The latter two are byte strings.
    package var items: [LogicalTensor] = []
    package var modelCount = 0
    package var adapterTensorCount = 0
    package var sideFileCount = 0
    package var hasProvenance = false
    package var metadata: [String: String] = [:]
    /// The adapters, with ``NF4ContainerAdapter/tensors`` as in ``items``.
    package var adapters: [NF4ContainerAdapter] = []
    package var chunks: [ContainerChunk] = []

    package init() {}

    package var modelRange: Range<Int> { 0..<modelCount }
    package var adapterRange: Range<Int> { modelCount..<(modelCount + adapterTensorCount) }
    package var sideFileRange: Range<Int> { adapterRange.upperBound..<(adapterRange.upperBound + sideFileCount) }
    package var provenanceItem: Int? { hasProvenance ? sideFileRange.upperBound : nil }

    /// A byte string as an item.
    package static func blob(_ name: String, byteCount: Int) -> LogicalTensor {
        LogicalTensor(name: name, shape: [byteCount], encoding: .dense(.u8))
    }
}

extension ContainerIndex {
    /// Gives every stream its place in the file: one after the other from the header's end on. In an aligned file the
    /// parts of an item follow each other, each in one piece and at a multiple of 64; else the order is that of the chunks.
    ///
    /// - Returns: Where the data ends, or `nil` when sizes overflow.
    package mutating func placeStreams(aligned: Bool) -> Int? {
        var end = SealedHeader.byteCount
        for (chunk, stream, startsPart) in streamOrder(aligned: aligned) {
            if aligned, startsPart {
                guard end <= Int.max - NF4ContainerFormat.alignment else { return nil }
                end = (end + NF4ContainerFormat.alignment - 1) & -NF4ContainerFormat.alignment
            }
            chunks[chunk].streams[stream].offset = end
            let (next, overflow) = end.addingReportingOverflow(chunks[chunk].streams[stream].storedSize)
            guard !overflow else { return nil }
            end = next
        }
        return end
    }

    /// Streams in the order of the file: the chunk, the stream in it, whether it begins a part of an item.
    package func streamOrder(aligned: Bool) -> [(chunk: Int, stream: Int, startsPart: Bool)] {
        var order: [(chunk: Int, stream: Int, startsPart: Bool)] = []
        var start = 0
        while start < chunks.count {
            var end = start + 1
            if aligned { while end < chunks.count, chunks[end].items == chunks[start].items { end += 1 } }
            for stream in 0..<(chunks[start].streams.count) {
                for chunk in start..<end where stream < chunks[chunk].streams.count {
                    order.append((chunk, stream, chunk == start))
                }
            }
            start = end
        }
        return order
    }
}
