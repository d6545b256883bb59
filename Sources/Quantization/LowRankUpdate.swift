import Kernels

/// The update that a low-rank adapter adds to a weight, scaling · left · right, ready for computing any range of it.
///
/// Nothing of the weight's size is ever held: an update takes as much memory as its two factors. A weight of several
/// matrices, one after the other ([blocks, rows, columns], the experts of a layer), has factors for each of them.
public struct LowRankUpdate: Sendable {
    /// Matrices of the weight; 1 for a matrix.
    public let blocks: Int
    /// Rows of a matrix.
    public let rows: Int
    /// Columns of a matrix.
    public let columns: Int
    /// The rank r.
    public let rank: Int
    /// What the product of the factors is multiplied with.
    public let scaling: Float
    /// [blocks, rows, rank], row-major.
    private let left: [Float]
    /// The right factors as the kernels want them, one after the other: see QCONV_PANEL_COLUMNS.
    private let panels: [Float]

    /// - Parameters:
    ///   - left: [blocks, rows, rank], row-major (lora_B of a linear layer).
    ///   - right: [blocks, rank, columns], row-major (lora_A of a linear layer).
    /// - Complexity: O(blocks · rank · columns), which is copied.
    public init(
        left: [Float], right: [Float], blocks: Int = 1, rows: Int, columns: Int, rank: Int, scaling: Float
    ) {
        precondition(left.count == blocks * rows * rank, "the left factor is [blocks, rows, rank]")
        precondition(right.count == blocks * rank * columns, "the right factor is [blocks, rank, columns]")
        self.blocks = blocks
        self.rows = rows
        self.columns = columns
        self.rank = rank
        self.scaling = scaling
        self.left = left
        panels = LowRankUpdate.panels(of: right, blocks: blocks, rank: rank, columns: columns)
    }

    /// Floats of memory that the factors of an update take.
    public static func factorCount(blocks: Int, rows: Int, columns: Int, rank: Int) -> Int {
        blocks * (rows * rank + panelCount(rank: rank, columns: columns))
    }

    /// Computes a range of the update.
    ///
    /// Every element is Σₖ left[row, k] · right[k, column], added in the order of k by fused multiply-adds in float32 (on
    /// every processor), then multiplied by `scaling` once, then added to what is there once if `accumulate` is set. Up to
    /// rank 192 these are the values of PEFT on torch's CPU build; see formats/bitsandbytes-4bit.md.
    ///
    /// - Parameters:
    ///   - range: Flat, row-major element indices; may start and end within a row.
    ///   - values: Room for `range.count` values, the first for `range.lowerBound`.
    public func compute(_ range: Range<Int>, accumulate: Bool, into values: UnsafeMutablePointer<Float>) {
        precondition(
            0 <= range.lowerBound && range.upperBound <= blocks * rows * columns, "the range lies in the weight")
        guard rank > 0 else {
            if !accumulate { values.update(repeating: 0, count: range.count) }
            return
        }
        let panelCount = LowRankUpdate.panelCount(rank: rank, columns: columns)
        left.withUnsafeBufferPointer { left in
            panels.withUnsafeBufferPointer { panels in
                guard let left = left.baseAddress, let panels = panels.baseAddress else { return }
                var next = range.lowerBound
                while next < range.upperBound {
                    let (block, first) = next.quotientAndRemainder(dividingBy: rows * columns)
                    let count = min(range.upperBound - next, rows * columns - first)
                    qconv_low_rank_update(
                        left + block * rows * rank, panels + block * panelCount, rank, columns, scaling, first, count,
                        accumulate, values + (next - range.lowerBound))
                    next += count
                }
            }
        }
    }

    /// Values of a [rank, columns] matrix as panels of columns, the last with room to spare.
    private static func panelCount(rank: Int, columns: Int) -> Int {
        let panelColumns = Int(QCONV_PANEL_COLUMNS)
        return (columns + panelColumns - 1) / panelColumns * panelColumns * rank
    }

    /// Each [rank, columns] as panels of columns, each [rank, panelColumns], with zeros in the last panel's free columns.
    private static func panels(of right: [Float], blocks: Int, rank: Int, columns: Int) -> [Float] {
        let panelColumns = Int(QCONV_PANEL_COLUMNS)
        let blockCount = panelCount(rank: rank, columns: columns)
        return [Float](unsafeUninitializedCapacity: blocks * blockCount) { panels, initializedCount in
            initializedCount = blocks * blockCount
            // Without free columns everything is given below.
            if columns % panelColumns != 0 { panels.initialize(repeating: 0) }
            for row in 0..<blocks * rank {
                let (block, k) = row.quotientAndRemainder(dividingBy: rank)
                for start in stride(from: 0, to: columns, by: panelColumns) {
                    let width = min(panelColumns, columns - start)
                    let place = block * blockCount + start * rank + k * panelColumns
                    let panelRow = UnsafeMutableBufferPointer(rebasing: panels[place...].prefix(width))
                    _ = panelRow.update(fromContentsOf: right[(row * columns + start)...].prefix(width))
                }
            }
        }
    }
}
