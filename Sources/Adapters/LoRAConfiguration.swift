/// What PEFT's `adapter_config.json` says about a LoRA adapter, as far as it decides the merged weights.
///
/// Fields and defaults are those of `LoraConfig` in PEFT 0.21.2; `formats/peft-lora.md` lists them all.
public struct LoRAConfiguration: Hashable, Sendable {
    /// The rank of every module that ``rankPattern`` does not name.
    public let r: Int
    /// The numerator of the scaling of every module that ``alphaPattern`` does not name.
    public let loraAlpha: Double
    /// Rank-stabilized LoRA: the scaling is lora_alpha / √r in place of lora_alpha / r.
    public let useRSLoRA: Bool
    /// Ranks of single modules; the first pattern that matches counts.
    public let rankPattern: [PatternOverride<Int>]
    /// Alphas of single modules; the first pattern that matches counts.
    public let alphaPattern: [PatternOverride<Double>]
    /// Whether weights are stored [in, out], as GPT-2's `Conv1D` does, in place of [out, in].
    public let fanInFanOut: Bool
    /// DoRA: each module has magnitudes, to which the rows of weight + update are scaled.
    public let useDoRA: Bool
    /// Whether lora_B has a bias, which is scaled and added to the base's.
    public let loraBias: Bool
    /// Parameters that no module's `weight` is, as paths or ends of them: the fused experts of a layer.
    public let targetParameters: [String]
    /// What the adapter was trained on; `nil` when PEFT chose by architecture.
    public let targetModules: ModuleSelection?
    /// What was left out of ``targetModules``.
    public let excludeModules: ModuleSelection?
    /// The layers that were trained; `nil` for all.
    public let layersToTransform: [Int]?
    /// The components that a layer's index follows (`layers`, `h`); empty for any.
    public let layersPattern: [String]
    /// The base's layers that the model with the adapter has, one range after the other; empty for the base's own. Module
    /// paths count layers after replication.
    public let layerReplication: [Range<Int>]
    /// The version of PEFT that wrote the adapter; `nil` before it noted that.
    public let peftVersion: PEFTVersion?
    /// The base model as its trainer named it, for information.
    public let baseModelNameOrPath: String?
}

/// A value for the modules whose path a Python regular expression matches at its end.
public struct PatternOverride<Value: Hashable & Sendable>: Hashable, Sendable {
    public let pattern: String
    public let value: Value
}

/// A choice of modules.
public enum ModuleSelection: Hashable, Sendable {
    /// Module paths, or ends of them from a component's start.
    case names([String])
    /// A Python regular expression for whole module paths.
    case expression(String)
}
