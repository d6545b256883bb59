/// How the product B·A of a module's factors lies in a tensor that it updates.
public enum FactorLayout: Hashable, Sendable {
    /// B·A: a weight stored [out, in], as `nn.Linear` has it. A convolution's [out, in, kernel…] is the same with columns
    /// in · kernel.
    case outIn
    /// (B·A)ᵀ: a weight stored [in, out], as GPT-2's `Conv1D` has it.
    case inOut
    /// A product for each of `count` experts, in a tensor [experts, out, in], or [experts, in, out] when `transposed`.
    case experts(count: Int, transposed: Bool)
    /// Rows of the product for one of `count` experts: the model fuses its experts when it is loaded, and the checkpoint has
    /// a matrix for each. The rows are counted in the fused matrix, [out, in], or [in, out] when `transposed`.
    case expert(Int, of: Int, transposed: Bool, rows: Range<Int>)

    /// Factors that stand side by side in the module's tensors.
    public var expertCount: Int {
        switch self {
        case .outIn, .inOut: 1
        case .experts(let count, _), .expert(_, let count, _, _): count
        }
    }

    /// The experts whose factors belong to the tensor.
    var experts: Range<Int> {
        switch self {
        case .outIn, .inOut: 0..<1
        case .experts(let count, _): 0..<count
        case .expert(let index, _, _, _): index..<index + 1
        }
    }

    /// Whether the tensor's rows are those of A.
    public var isTransposed: Bool {
        switch self {
        case .outIn: false
        case .inOut: true
        case .experts(_, let transposed), .expert(_, _, let transposed, _): transposed
        }
    }
}

/// What a tensor takes of a module's factors.
public struct FactorPlacement: Hashable, Sendable {
    public let layout: FactorLayout
    /// The rank r; of each expert, where the factors are those of several.
    public let rank: Int
    /// alpha / rank, or alpha / √rank with rsLoRA.
    public let scaling: Double
    /// Whether PEFT rounds the update to the weight's dtype before it adds it.
    public let isRoundedFirst: Bool

    init(layout: FactorLayout, rank: Int, scaling: Double, isRoundedFirst: Bool = false) {
        self.layout = layout
        self.rank = rank
        self.scaling = scaling
        self.isRoundedFirst = isRoundedFirst
    }
}
