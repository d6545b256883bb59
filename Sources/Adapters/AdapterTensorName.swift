import Tensors

/// What a tensor of an adapter's file is, by its name.
enum AdapterTensorName: Hashable {
    /// A tensor of a module's low-rank update: `base_model.model.<module>.lora_A.weight` and the like.
    case factor(module: String, FactorRole)
    /// `base_model.model.<module>.token_adapter.trainable_tokens_delta`: rows that replace some of the module's weight.
    case rows(module: String)
    /// `base_model.model.<tensor>` or `base_model.model.<module>.base_layer.weight`: replaces the base's tensor.
    case whole(tensor: String)
    /// What PEFT also writes of a module that was trained in full when it saves the embeddings: the copy again
    /// (`<module>.modules_to_save.weight`), and the base's weight that it began as (`<module>.original_module.weight`).
    case savedTwice(tensor: String, isOriginal: Bool)
    /// Anything else, with the PEFT feature it belongs to.
    case unsupported(feature: String)

    private static let prefix = "base_model.model."
    private static let rowsSuffix = ".token_adapter.trainable_tokens_delta"

    init(_ name: String) {
        guard name.hasPrefix(AdapterTensorName.prefix) else {
            self = .unsupported(feature: "not a name that PEFT gives (base_model.model.<module>.lora_A.weight)")
            return
        }
        for role in FactorRole.allCases {
            guard let module = AdapterTensorName.module(of: name, before: role.suffix) else { continue }
            self = .factor(module: module, role)
            return
        }
        let path = name.dropFirst(AdapterTensorName.prefix.count)
        if let module = AdapterTensorName.module(of: name, before: AdapterTensorName.rowsSuffix) {
            self = .rows(module: module)
        } else if let feature = AdapterTensorName.feature(of: path) {
            self = .unsupported(feature: feature)
        } else {
            let components = path.split(separator: ".", omittingEmptySubsequences: false)
            let wrappers: Set<Substring> = ["base_layer", "token_adapter", "modules_to_save", "original_module"]
            let name = components.filter { !wrappers.contains($0) }.joined(separator: ".")
            if components.contains("modules_to_save") || components.contains("original_module") {
                self = .savedTwice(tensor: name, isOriginal: components.contains("original_module"))
            } else {
                self = .whole(tensor: name)
            }
        }
    }

    /// What stands between the prefix, which the name has, and a suffix; `nil` if that is not how it ends.
    private static func module(of name: String, before suffix: String) -> String? {
        let length = name.utf8.count - prefix.utf8.count - suffix.utf8.count
        guard length >= 0, name.endsWithBytes(suffix) else { return nil }
        return String(name.utf8.dropFirst(prefix.utf8.count).prefix(length))
    }

    /// The name of a module's tensor in the file.
    static func full(module: String, _ role: FactorRole) -> String { prefix + module + role.suffix }

    /// The feature that a tensor belongs to, if it is one that cannot be merged.
    private static func feature(of path: Substring) -> String? {
        let components = path.split(separator: ".", omittingEmptySubsequences: false)
        if let index = components.lastIndex(where: { $0 == "lora_A" || $0 == "lora_B" }) {
            // What follows lora_A or lora_B: an adapter's name where the weights were not saved by save_pretrained().
            let rest = components[(index + 1)...]
            if rest.count == 2, rest.last == "weight" {
                return "keeps the adapter's name (\(rest[rest.startIndex])), which PEFT's save_pretrained() removes"
            }
        }
        for component in components.reversed() {
            switch component {
            case "lora_diag": return "KaSA's singular values (kasa_config)"
            case "lora_velora_embed": return "VeLoRA's projection (velora_config)"
            case "trainable_tokens_delta", "trainable_tokens_original":
                return "a part of trainable_token_indices that PEFT does not save"
            case let name where name.hasPrefix("lora_"): return "a LoRA variant's \(name)"
            default: continue
            }
        }
        return nil
    }
}

/// What a tensor is to the low-rank update of its module.
enum FactorRole: CaseIterable, Hashable {
    /// lora_A of a linear layer, [r, in].
    case a
    /// lora_B of a linear layer, [out, r].
    case b
    /// lora_embedding_A, [r, tokens].
    case embeddingA
    /// lora_embedding_B, [width, r].
    case embeddingB
    /// DoRA's magnitudes, one for each output.
    case magnitude
    /// The bias of lora_B (`lora_bias`), [out].
    case bias

    /// What follows the module's path in the tensor's name.
    var suffix: String {
        switch self {
        case .a: ".lora_A.weight"
        case .b: ".lora_B.weight"
        case .embeddingA: ".lora_embedding_A"
        case .embeddingB: ".lora_embedding_B"
        case .magnitude: ".lora_magnitude_vector"
        case .bias: ".lora_B.bias"
        }
    }
}
