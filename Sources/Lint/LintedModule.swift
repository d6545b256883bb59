import Adapters
import Tensors

/// A module of an adapter as headers tell of it.
public struct LintedModule: Hashable, Sendable {
    private static let fieldsOfAlpha: Set = ["lora_alpha", "alpha_pattern"]
    /// The fields that decide the scaling of factors that are there.
    static let fieldsOfScaling = fieldsOfAlpha.union(["use_rslora"])

    public let module: LoRAModule
    /// The dtypes of its tensors, each once.
    public let dtypes: [DType]
    /// How the base stores the weight; `nil` without a base, and where the weight is not there or does not fit.
    public let baseEncoding: Encoding?
    /// The rank of the update of a matrix. Whose parameter's factors these are, if they are a parameter's, the base tells.
    public let rank: Int
    /// lora_alpha, or what alpha_pattern has in its place; `nil` when one of them is missing or was refused.
    public let alpha: Double?
    /// alpha / rank, or alpha / √rank with rsLoRA; `nil` when what decides it is missing or was refused.
    public let scaling: Double?

    /// - Parameter fieldsSetAside: The fields of the configuration whose values are not those of the file.
    init(_ module: LoRAModule, tensors: [LogicalTensor], fit: BaseChecks.Fit?, fieldsSetAside: Set<String>) {
        self.module = module
        baseEncoding = fit?.encoding
        rank = fit?.placement?.rank ?? module.matrixRank
        alpha = fieldsSetAside.isDisjoint(with: LintedModule.fieldsOfAlpha) ? module.alpha : nil
        scaling =
            fieldsSetAside.isDisjoint(with: LintedModule.fieldsOfScaling)
            ? fit?.placement?.scaling ?? module.scaling : nil
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
