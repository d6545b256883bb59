import Kernels

/// The update that a low-rank adapter adds to a weight: scaling · left · right.
public enum LowRankUpdate {
    /// Computes a range of the update of a [rows, columns] weight.
    ///
    /// Every element is Σₖ left[row, k] · right[k, column], added in the order of k by fused multiply-adds in float32 (on
    /// every processor), then multiplied by `scaling` once, then added to what is there once if `accumulate` is set. Up to
    /// rank 192 these are the values of PEFT on torch's CPU build; see formats/bitsandbytes-4bit.md.
    ///
    /// - Parameters:
    ///   - left: [rows, rank], row-major (lora_B of a linear layer).
    ///   - right: [rank, columns], row-major (lora_A of a linear layer).
    ///   - range: Flat, row-major element indices; may start and end within a row.
    ///   - update: Room for `range.count` values, the first for `range.lowerBound`.
    public static func add(
        left: UnsafePointer<Float>, right: UnsafePointer<Float>, rank: Int, columns: Int, scaling: Float,
        range: Range<Int>, accumulate: Bool, into update: UnsafeMutablePointer<Float>
    ) {
        qconv_low_rank_update(
            left, right, rank, columns, scaling, range.lowerBound, range.count, accumulate, update)
    }
}
