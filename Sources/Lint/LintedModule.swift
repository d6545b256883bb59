import Adapters
import Tensors

/// A module of an adapter as headers tell of it.
public struct LintedModule: Hashable, Sendable {
    public let module: LoRAModule
    /// What it brings besides lora_A and lora_B: `dora`, `lora_bias`.
    public let extras: [String]
    /// The dtypes of its tensors, each once.
    public let dtypes: [DType]
    /// How the base stores the weight; `nil` without a base, and where the weight is not there or does not fit.
    public let baseEncoding: Encoding?

    init(_ module: LoRAModule, tensors: [LogicalTensor], baseEncoding: Encoding?) {
        self.module = module
        self.baseEncoding = baseEncoding
        extras = (module.hasMagnitude ? ["dora"] : []) + (module.tensors.bias == nil ? [] : ["lora_bias"])
        let indices = [module.tensors.a, module.tensors.b, module.tensors.magnitude, module.tensors.bias]
        var dtypes: [DType] = []
        for dtype in indices.compactMap(\.self).compactMap({ tensors[$0].encoding.denseDType })
        where !dtypes.contains(dtype) {
            dtypes.append(dtype)
        }
        self.dtypes = dtypes
    }

    /// `f32`, or `f32/bf16` where the module's tensors differ.
    var dtypeText: String { dtypes.map { $0.rawValue.lowercased() }.joined(separator: "/") }
}
