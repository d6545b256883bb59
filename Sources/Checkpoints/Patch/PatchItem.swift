import Tensors

/// A stored tensor that one side or both have: a dense tensor, or a piece of a 4-bit one.
package struct PatchItem: Hashable, Sendable {
    /// Where a side's bytes of it lie.
    package struct Place: Hashable, Sendable {
        /// Index into the tree's files.
        package let file: Int
        /// The first byte in the file.
        package let offset: Int
    }

    package let name: String
    package let kind: PatchKind
    package let byteCount: Int
    package let presence: PatchPresence
    fileprivate let base: Place?
    fileprivate let target: Place?

    /// Where a side has it; `nil` when that side has not.
    package func place(_ side: PatchSide) -> Place? { side == .base ? base : target }
}

/// What is coded together: a piece of one item, or several whole small items of one kind.
package struct PatchChunk: Hashable, Sendable {
    /// Indices of items, ascending.
    package let items: [Int]
    /// Which piece of the item; 0 for whole items.
    package let piece: Int
}

/// The items of two trees and how they are cut. A function of the trees alone, so that a patch need not tell.
package struct PatchItems: Sendable {
    package let all: [PatchItem]
    package let chunks: [PatchChunk]
    package let pieceSizeLog2: Int
    /// How many chunks there are before those of quant states, which a writer may know only at the end.
    package let earlyChunkCount: Int

    package init(base: PatchTree, target: PatchTree, pieceSizeLog2: Int) {
        let pairs = PatchItems.items(base, target)
        // A stable partition: quant states last.
        let early = pairs.filter { $0.kind != .quantState }
        all = early + pairs.filter { $0.kind == .quantState }
        self.pieceSizeLog2 = pieceSizeLog2
        let earlyChunks = PatchItems.chunks(all, 0..<early.count, pieceSizeLog2: pieceSizeLog2)
        earlyChunkCount = earlyChunks.count
        chunks = earlyChunks + PatchItems.chunks(all, early.count..<all.count, pieceSizeLog2: pieceSizeLog2)
    }

    /// The bytes of an item that a piece of it holds.
    package func range(_ item: Int, piece: Int) -> Range<Int> {
        let size = 1 << pieceSizeLog2
        return piece * size..<min(all[item].byteCount, (piece + 1) * size)
    }

    package func byteCount(_ chunk: PatchChunk) -> Int {
        chunk.items.reduce(0) { $0 + range($1, piece: chunk.piece).count }
    }

    /// The names of the tensors in a chunk.
    package func names(_ chunk: PatchChunk) -> [String] { chunk.items.map { all[$0].name } }

    // MARK: - Items

    /// Those of the target, each with what the base has under its name if that is as long; then the base's others.
    private static func items(_ base: PatchTree, _ target: PatchTree) -> [PatchItem] {
        let basePlaces = places(base)
        let baseByName = Dictionary(
            basePlaces.enumerated().map { ($0.element.entry.name, $0.offset) }, uniquingKeysWith: { $1 })
        let targetKinds = kinds(target)
        var taken: Set<Int> = []
        var items: [PatchItem] = []
        for (entry, place) in places(target) {
            var partner: Int?
            if let index = baseByName[entry.name], basePlaces[index].entry.byteCount == entry.byteCount {
                partner = index
                taken.insert(index)
            }
            items.append(
                PatchItem(
                    name: entry.name, kind: kind(entry, targetKinds), byteCount: entry.byteCount,
                    presence: partner == nil ? .targetOnly : .both, base: partner.map { basePlaces[$0].place },
                    target: place))
        }
        let baseKinds = kinds(base)
        for (index, (entry, place)) in basePlaces.enumerated() where !taken.contains(index) {
            items.append(
                PatchItem(
                    name: entry.name, kind: kind(entry, baseKinds), byteCount: entry.byteCount, presence: .baseOnly,
                    base: place, target: nil))
        }
        return items
    }

    private static func places(_ tree: PatchTree) -> [(entry: SafetensorsEntry, place: PatchItem.Place)] {
        tree.files.enumerated().flatMap { index, file in
            file.entries.map { ($0, PatchItem.Place(file: index, offset: $0.range.lowerBound)) }
        }
    }

    /// The kinds that names tell: of codes, by their weight's name, and of quant states.
    private static func kinds(_ tree: PatchTree) -> [String: PatchKind] {
        var kinds: [String: PatchKind] = [:]
        for entry in tree.files.lazy.flatMap(\.entries) {
            guard let (weight, suffix) = BitsAndBytesNames.splitQuantState(entry.name),
                let quantType = QuantType(rawValue: suffix)
            else { continue }
            kinds[entry.name] = .quantState
            kinds[weight] = .codes(quantType)
        }
        return kinds
    }

    private static func kind(_ entry: SafetensorsEntry, _ kinds: [String: PatchKind]) -> PatchKind {
        if let kind = kinds[entry.name] { return kind }
        return switch entry.dtype {
        case .f16, .bf16, .i16, .u16: .numbers(width: 2)
        case .f32, .c64, .i32, .u32: .numbers(width: 4)
        case .f64, .i64, .u64: .numbers(width: 8)
        default: .numbers(width: 1)
        }
    }

    // MARK: - Chunks

    /// What small items must have in common to share a chunk.
    private struct Group: Hashable {
        let kind: PatchKind
        let presence: PatchPresence
    }

    private static func chunks(_ items: [PatchItem], _ range: Range<Int>, pieceSizeLog2: Int) -> [PatchChunk] {
        let limit = 1 << pieceSizeLog2
        var chunks: [PatchChunk] = []
        var open: [Group: (items: [Int], byteCount: Int)] = [:]
        for index in range where items[index].byteCount > 0 {
            let byteCount = items[index].byteCount
            guard byteCount < limit else {
                chunks += (0..<(byteCount + limit - 1) / limit).map { PatchChunk(items: [index], piece: $0) }
                continue
            }
            let group = Group(kind: items[index].kind, presence: items[index].presence)
            if let full = open[group], full.byteCount + byteCount > limit {
                chunks.append(PatchChunk(items: full.items, piece: 0))
                open[group] = nil
            }
            open[group, default: ([], 0)].items.append(index)
            open[group, default: ([], 0)].byteCount += byteCount
        }
        chunks += open.values.map { PatchChunk(items: $0.items, piece: 0) }
        // A chunk stands where its last item does; no two chunks end with the same piece of the same item.
        return chunks.sorted { ($0.items.last ?? 0, $0.piece) < ($1.items.last ?? 0, $1.piece) }
    }
}
