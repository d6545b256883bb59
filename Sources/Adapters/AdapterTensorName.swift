/// What a tensor of `adapter_model.safetensors` is, by its name.
enum AdapterTensorName: Hashable {
    /// `base_model.model.<module>.lora_A.weight`, [r, in].
    case factorA(module: String)
    /// `base_model.model.<module>.lora_B.weight`, [out, r].
    case factorB(module: String)
    /// Anything else, with the PEFT feature it belongs to.
    case unsupported(feature: String)

    private static let prefix = "base_model.model."
    static let suffixA = ".lora_A.weight"
    static let suffixB = ".lora_B.weight"

    init(_ name: String) {
        guard name.hasPrefix(AdapterTensorName.prefix) else {
            self = .unsupported(feature: "not a name that PEFT gives (base_model.model.<module>.lora_A.weight)")
            return
        }
        let path = name.dropFirst(AdapterTensorName.prefix.count)
        if path.hasSuffix(AdapterTensorName.suffixA) {
            self = .factorA(module: String(path.dropLast(AdapterTensorName.suffixA.count)))
        } else if path.hasSuffix(AdapterTensorName.suffixB) {
            self = .factorB(module: String(path.dropLast(AdapterTensorName.suffixB.count)))
        } else {
            self = .unsupported(feature: AdapterTensorName.feature(of: path))
        }
    }

    /// The name of a module's tensor in the file.
    static func full(module: String, suffix: String) -> String { prefix + module + suffix }

    private static func feature(of path: Substring) -> String {
        let components = path.split(separator: ".", omittingEmptySubsequences: false)
        if let index = components.lastIndex(where: { $0 == "lora_A" || $0 == "lora_B" }) {
            // What follows lora_A or lora_B: an adapter's name where the weights were not saved by save_pretrained().
            let rest = components[(index + 1)...]
            if rest.count == 2, rest.last == "weight" {
                return "keeps the adapter's name (\(rest[rest.startIndex])), which PEFT's save_pretrained() removes"
            }
            if rest.last == "bias" { return "a bias of lora_B (lora_bias)" }
        }
        for component in components.reversed() {
            switch component {
            case "lora_magnitude_vector": return "DoRA's magnitudes (use_dora)"
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
