import Kernels

/// The update that a low-rank adapter adds to a weight, scaling · left · right, ready for computing any range of it.
///
/// Nothing of the weight's size is ever held: an update takes as much memory as its two factors.
public struct LowRankUpdate: Sendable {
    /// Rows of the weight.
    public let rows: Int
    /// Columns of the weight.
    public let columns: Int
    /// The rank r.
    public let rank: Int
    /// What the product of the factors is multiplied with.
    public let scaling: Float
    /// [rows, rank], row-major.
    private let left: [Float]
    /// The right factor as the kernels want it: see QCONV_PANEL_COLUMNS.
    private let panels: [Float]

    /// - Parameters:
    ///   - left: [rows, rank], row-major (lora_B of a linear layer).
    ///   - right: [rank, columns], row-major (lora_A of a linear layer).
    /// - Complexity: O(rank · columns), which is copied.
    public init(left: [Float], right: [Float], rows: Int, columns: Int, rank: Int, scaling: Float) {
        precondition(left.count == rows * rank, "the left factor is [rows, rank]")
        precondition(right.count == rank * columns, "the right factor is [rank, columns]")
        self.rows = rows
        self.columns = columns
        self.rank = rank
        self.scaling = scaling
        self.left = left
        panels = LowRankUpdate.panels(of: right, rank: rank, columns: columns)
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
        precondition(0 <= range.lowerBound && range.upperBound <= rows * columns, "the range lies in the weight")
        guard rank > 0 else {
            if !accumulate { values.update(repeating: 0, count: range.count) }
            return
        }
        left.withUnsafeBufferPointer { left in
            panels.withUnsafeBufferPointer { panels in
                guard let left = left.baseAddress, let panels = panels.baseAddress else { return }
                qconv_low_rank_update(
                    left, panels, rank, columns, scaling, range.lowerBound, range.count, accumulate, values)
            }
        }
    }

    /// [rank, columns] as panels of columns, each [rank, panelColumns], with zeros in the last panel's free columns.
    private static func panels(of right: [Float], rank: Int, columns: Int) -> [Float] {
        let panelColumns = Int(QCONV_PANEL_COLUMNS)
        let count = (columns + panelColumns - 1) / panelColumns * panelColumns * rank
        return [Float](unsafeUninitializedCapacity: count) { panels, initializedCount in
            initializedCount = count
            panels.initialize(repeating: 0)
            for k in 0..<rank {
                for start in stride(from: 0, to: columns, by: panelColumns) {
                    let width = min(panelColumns, columns - start)
                    let row = UnsafeMutableBufferPointer(
                        rebasing: panels[(start * rank + k * panelColumns)...].prefix(width))
                    _ = row.update(fromContentsOf: right[(k * columns + start)...].prefix(width))
                }
            }
        }
    }
}
