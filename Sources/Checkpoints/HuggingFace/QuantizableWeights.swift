import Tensors

/// Which weights transformers quantizes to 4 bits when it loads a model with `load_in_4bit`.
///
/// transformers replaces every `nn.Linear` (and GPT-2's `Conv1D`) except the output head, tied weights, what
/// `llm_int8_skip_modules` names and what the architecture keeps in float32. Which tensor is a Linear's goes by names
/// here; formats/huggingface-directory.md writes the rule down.
public struct QuantizableWeights: Sendable {
    private let skipModules: [String]?
    private let skipPatterns: [SkipModulePattern]?
    private let keptByArchitecture: [SkipModulePattern]

    /// - Parameter config: The model's config.json; without one only names decide.
    public init(config: ModelConfig?) {
        skipModules = config?.skipModules
        skipPatterns = config?.skipModules?.map(SkipModulePattern.init)
        let kept = config?.modelType.flatMap { QuantizableWeights.keptByArchitecture[$0] } ?? []
        keptByArchitecture = kept.map(SkipModulePattern.init)
    }

    /// Whether transformers would quantize a tensor, whatever its encoding is now.
    public func contains(_ tensor: LogicalTensor) -> Bool {
        guard let module = LinearModule(tensor), canHold4Bit(module) else { return false }
        // A list replaces transformers' own choice.
        guard let skipPatterns else { return !module.isLanguageModelHead && !module.isOtherHead }
        return !skipPatterns.contains { $0.matches(module.path) }
    }

    /// Whether transformers can load a tensor in 4 bits, by its own choice or with the right `llm_int8_skip_modules`: it
    /// makes 4-bit modules of linear layers only.
    public func canHold4Bit(_ tensor: LogicalTensor) -> Bool {
        LinearModule(tensor).map(canHold4Bit) ?? false
    }

    private func canHold4Bit(_ module: LinearModule) -> Bool {
        !isKept(module) && !module.isRouter && module.expertsModule == nil
    }

    /// The `llm_int8_skip_modules` that a checkpoint with these tensors needs to load; `nil` when transformers' own
    /// choice, or the list that is there, says the same.
    ///
    /// In a new list stands everything that is not 4-bit, experts as one entry a layer, and the output head also when it
    /// is tied and so not in the checkpoint.
    public func skipModules(for tensors: [LogicalTensor]) -> [String]? {
        let modules = tensors.compactMap { tensor in
            LinearModule(tensor).map { (module: $0, isQuantized: tensor.encoding.blockQuantization != nil) }
        }
        let relevant = modules.filter { !isKept($0.module) }
        let agrees = relevant.allSatisfy { $0.isQuantized != isSkippedByTransformers($0.module) }
        if agrees { return skipModules }
        var names: [String] = []
        var seen: Set<String> = []
        for (module, isQuantized) in modules where !isQuantized {
            let name = module.expertsModule ?? module.path
            if seen.insert(name).inserted { names.append(name) }
        }
        if !modules.contains(where: \.module.isLanguageModelHead) { names.append("lm_head") }
        return names
    }

    /// Whether transformers is certain to leave a module as it is.
    private func isSkippedByTransformers(_ module: LinearModule) -> Bool {
        guard let skipPatterns else { return module.isLanguageModelHead }
        return skipPatterns.contains { $0.matches(module.path) }
    }

    private func isKept(_ module: LinearModule) -> Bool {
        keptByArchitecture.contains { $0.matches(module.path) }
    }

    /// `_keep_in_fp32_modules` of transformers 5.23, by model_type, where it meets a Linear. Matched as skip modules are.
    private static let keptByArchitecture: [String: [String]] = [
        "t5": ["wo"], "mt5": ["wo"], "umt5": ["wo"], "udop": ["wo"], "pop2piano": ["wo"],
        "blip-2": ["query_tokens", "qformer"],
        // Falcon's Linear is a subclass, which transformers does not replace.
        "falcon": ["transformer"],
        "axk2": ["indexer.weights_proj"], "deepseek_v32": ["indexer.weights_proj"],
        "glm_moe_dsa": ["indexer.weights_proj"], "mistral_large4": ["indexer.weights_proj"],
    ]
}
