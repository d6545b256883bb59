/// What a tensor of an adapter's file is, by its name.
enum AdapterTensorName: Hashable {
    /// A tensor of a module's low-rank update: `base_model.model.<module>.lora_A.weight` and the like.
    case factor(module: String, FactorRole)
    /// Anything else, with the PEFT feature it belongs to.
    case unsupported(feature: String)

    private static let prefix = "base_model.model."

    init(_ name: String) {
        guard name.hasPrefix(AdapterTensorName.prefix) else {
            self = .unsupported(feature: "not a name that PEFT gives (base_model.model.<module>.lora_A.weight)")
            return
        }
        let path = name.dropFirst(AdapterTensorName.prefix.count)
        if let role = FactorRole.allCases.first(where: { path.hasSuffix($0.suffix) }) {
            self = .factor(module: String(path.dropLast(role.suffix.count)), role)
        } else {
            self = .unsupported(feature: AdapterTensorName.feature(of: path))
        }
    }

    /// The name of a module's tensor in the file.
    static func full(module: String, _ role: FactorRole) -> String { prefix + module + role.suffix }

    private static func feature(of path: Substring) -> String {
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
            case "lora_embedding_A", "lora_embedding_B": return "LoRA on an embedding"
            case "lora_diag": return "KaSA's singular values (kasa_config)"
            case "lora_velora_embed": return "VeLoRA's projection (velora_config)"
            case "token_adapter", "trainable_tokens_delta", "trainable_tokens_original":
                return "trained token embeddings (trainable_token_indices)"
            case let name where name.hasPrefix("lora_"): return "a LoRA variant's \(name)"
            default: continue
            }
        }
        if path.hasSuffix(".bias") { return "a whole bias (bias or modules_to_save)" }
        return "a whole tensor (modules_to_save, or an embedding that was resized)"
    }
}

/// What a tensor is to the low-rank update of its module.
enum FactorRole: CaseIterable, Hashable {
    /// lora_A of a linear layer, [r, in].
    case a
    /// lora_B of a linear layer, [out, r].
    case b
    /// DoRA's magnitudes, one for each output.
    case magnitude
    /// The bias of lora_B (`lora_bias`), [out].
    case bias

    /// What follows the module's path in the tensor's name.
    var suffix: String {
        switch self {
        case .a: ".lora_A.weight"
        case .b: ".lora_B.weight"
        case .magnitude: ".lora_magnitude_vector"
        case .bias: ".lora_B.bias"
        }
    }
}
