import Tensors

/// The module of a weight that is, going by its name and shape, an `nn.Linear` (or GPT-2's `Conv1D`).
///
/// A checkpoint does not say what kind of module a tensor belongs to; formats/huggingface-directory.md writes the rule
/// down.
struct LinearModule {
    /// The module's path: the tensor's name without `.weight`.
    let path: String
    private let components: [Substring]

    /// `nil` when the tensor is an embedding, a norm, a convolution, a bias, or no floating-point matrix.
    init?(_ tensor: LogicalTensor) {
        let suffix = ".weight"
        guard tensor.shape.count == 2, tensor.name.hasSuffix(suffix) else { return nil }
        if let dtype = tensor.encoding.denseDType, ![.f16, .bf16, .f32, .f64].contains(dtype) { return nil }
        path = String(tensor.name.dropLast(suffix.count))
        components = path.split(separator: ".")
        guard let last = components.last, !LinearModule.isEmbedding(last), !LinearModule.isNorm(last) else {
            return nil
        }
    }

    /// Whether this is the output head of a language model, which transformers finds by itself.
    var isLanguageModelHead: Bool {
        guard let last = components.last else { return false }
        return ["lm_head", "embed_out", "output_projection", "vocab_projector"].contains(last)
            || path.hasSuffix("lm_head.decoder") || path.hasSuffix("cls.predictions.decoder")
    }

    /// Whether this is the head of another kind of model: a classifier, a reward model, …
    var isOtherHead: Bool {
        guard let last = components.last else { return false }
        return ["score", "classifier", "qa_outputs", "v_head", "value_head"].contains(last)
    }

    /// Whether this routes tokens to experts: `mlp.gate`, `block_sparse_moe.gate`, `router`, `router.classifier`.
    var isRouter: Bool {
        guard let last = components.last else { return false }
        return last == "gate" || last == "wg" || last == "shared_expert_gate"
            || components.suffix(2).contains { $0 == "router" }
    }

    /// The module of all experts when this belongs to one of them: `model.layers.0.mlp.experts`. transformers 5 fuses
    /// experts into tensors that bitsandbytes does not quantize.
    var expertsModule: String? {
        for (index, component) in components.enumerated().dropFirst()
        where component.allSatisfy(\.isWholeNumber) && components[index - 1] == "experts" {
            return components[..<index].joined(separator: ".")
        }
        return nil
    }

    private static func isEmbedding(_ name: Substring) -> Bool {
        // embed_out is a head.
        ["wte", "wpe", "shared", "relative_attention_bias"].contains(name)
            || (name.hasPrefix("embed_") && name != "embed_out")
            || ["embed", "embedding", "embeddings", "_emb"].contains { name.hasSuffix($0) }
    }

    private static func isNorm(_ name: Substring) -> Bool {
        name.lowercased().hasSuffix("norm") || name.hasPrefix("ln_")
    }
}
