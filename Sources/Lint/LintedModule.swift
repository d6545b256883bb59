import Adapters
import Tensors

/// A module of an adapter as headers tell of it.
public struct LintedModule: Hashable, Sendable {
    public let module: LoRAModule
    /// The dtypes of its tensors, each once.
    public let dtypes: [DType]
    /// How the base stores the weight; `nil` without a base, and where the weight is not there or does not fit.
    public let baseEncoding: Encoding?
    /// The rank of the update of a matrix. Whose parameter's factors these are, if they are a parameter's, the base tells.
    public let rank: Int
    /// alpha / rank, or alpha / √rank with rsLoRA.
    public let scaling: Double

    init(_ module: LoRAModule, tensors: [LogicalTensor], fit: BaseChecks.Fit?) {
        self.module = module
        baseEncoding = fit?.encoding
        rank = fit?.placement?.rank ?? module.matrixRank
        scaling = fit?.placement?.scaling ?? module.scaling
        var dtypes: [DType] = []
        for dtype in module.tensors.all.compactMap({ tensors[$0].encoding.denseDType })
        where !dtypes.contains(dtype) {
            dtypes.append(dtype)
        }
        self.dtypes = dtypes
    }

    /// `f32`, or `f32/bf16` where the module's tensors differ.
    var dtypeText: String { dtypes.map { $0.rawValue.lowercased() }.joined(separator: "/") }
}
