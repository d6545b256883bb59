/// The two factors of a low-rank update of one weight, in float32 and in the orientation of the stored weight:
/// update[i, j] = scaling · Σₖ left[i, k] · right[k, j].
///
/// For a linear layer ([out, in]) left is lora_B and right is lora_A. With `fan_in_fan_out` (a weight stored [in, out])
/// left is lora_Aᵀ and right is lora_Bᵀ.
public struct LowRankFactors: Sendable {
    /// Rows of the stored weight.
    public let rows: Int
    /// Columns of the stored weight.
    public let columns: Int
    /// The rank r.
    public let rank: Int
    /// [rows, rank], row-major.
    public let left: [Float]
    /// [rank, columns], row-major.
    public let right: [Float]
    /// lora_alpha / r, or lora_alpha / √r with rsLoRA.
    public let scaling: Double

    public init(rows: Int, columns: Int, rank: Int, left: [Float], right: [Float], scaling: Double) {
        self.rows = rows
        self.columns = columns
        self.rank = rank
        self.left = left
        self.right = right
        self.scaling = scaling
    }
}

extension LowRankFactors {
    /// The same factors for the update multiplied with `weight`.
    public func scaled(by weight: Double) -> LowRankFactors {
        LowRankFactors(
            rows: rows, columns: columns, rank: rank, left: left, right: right, scaling: scaling * weight)
    }
}
