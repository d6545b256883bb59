import Tensors

/// Where an item's data begins: its first chunk, and the start of each part in a chunk that it shares.
struct ItemPlace: Hashable, Sendable {
    private let chunk: UInt32
    private let mainStart: UInt32
    private let absmaxStart: UInt32
    private let nestedAbsmaxStart: UInt32

    private static let noChunk = UInt32.max

    /// `nil` for an empty item.
    var firstChunk: Int? { chunk == ItemPlace.noChunk ? nil : Int(chunk) }

    func start(of part: TensorPart) -> Int {
        switch part {
        case .values, .codes: Int(mainStart)
        case .absmax: Int(absmaxStart)
        case .nestedAbsmax: Int(nestedAbsmaxStart)
        }
    }

    /// The place of every item of an index.
    static func places(_ index: ContainerIndex) -> [ItemPlace] {
        let nowhere = ItemPlace(chunk: noChunk, mainStart: 0, absmaxStart: 0, nestedAbsmaxStart: 0)
        var places = [ItemPlace](repeating: nowhere, count: index.items.count)
        for (number, chunk) in index.chunks.enumerated() where chunk.piece == 0 {
            // Items that share a chunk are small, so all of this fits.
            var starts: [TensorPart: UInt32] = [:]
            for item in chunk.items {
                places[item] = ItemPlace(
                    chunk: UInt32(number), mainStart: starts[index.items[item].mainPart] ?? 0,
                    absmaxStart: starts[.absmax] ?? 0, nestedAbsmaxStart: starts[.nestedAbsmax] ?? 0)
                guard chunk.items.count > 1 else { continue }
                for (part, byteCount) in index.items[item].parts { starts[part, default: 0] += UInt32(byteCount) }
            }
        }
        return places
    }
}
