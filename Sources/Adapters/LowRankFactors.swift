/// The two factors of a low-rank update of one weight, in float32 and in the orientation of the stored weight:
/// update[i, j] = scaling · Σₖ left[i, k] · right[k, j].
///
/// For a linear layer ([out, in]) left is lora_B and right is lora_A. With `fan_in_fan_out` (a weight stored [in, out])
/// left is lora_Aᵀ and right is lora_Bᵀ. A convolution ([out, in, kernel…]) is a matrix of in · kernel columns. A stack of
/// experts' matrices has factors for each of them.
public struct LowRankFactors: Sendable {
    /// Matrices of the stored weight, one after the other; 1 but for experts.
    public let blocks: Int
    /// Rows of a matrix.
    public let rows: Int
    /// Columns of a matrix.
    public let columns: Int
    /// The rank r.
    public let rank: Int
    /// [blocks, rows, rank], row-major.
    public let left: [Float]
    /// [blocks, rank, columns], row-major.
    public let right: [Float]
    /// lora_alpha / r, or lora_alpha / √r with rsLoRA.
    public let scaling: Double

    public init(
        blocks: Int = 1, rows: Int, columns: Int, rank: Int, left: [Float], right: [Float], scaling: Double
    ) {
        self.blocks = blocks
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
            blocks: blocks, rows: rows, columns: columns, rank: rank, left: left, right: right,
            scaling: scaling * weight)
    }
}
