import LosslessJSON
import Tensors

/// How the classes of a model store their weights, where a checkpoint does not show it.
///
/// By `model_type`, for the architectures of transformers 5.23.
public struct WeightOrientation: Hashable, Sendable {
    private let modelTypes: [String]
    /// Whether the model's classes are transformers' own.
    private let isKnown: Bool

    /// - Parameter config: The model's config.json; without one nothing is known.
    public init(config: ModelConfig?) {
        self.init(configuration: config?.json)
    }

    /// - Parameter configuration: The document in config.json; without one nothing is known.
    public init(configuration: JSONValue?) {
        let parts = ["text_config", "llm_config"].map { configuration?[$0] }
        modelTypes = ([configuration] + parts).compactMap { $0?["model_type"]?.string }
        // A model with code of its own may call itself what it likes.
        isKnown = !modelTypes.isEmpty && configuration?["auto_map"] == nil
    }

    /// Whether a tensor is the weight of a `Conv1D`, as in GPT-2: dense it is stored [in, out], but transformers
    /// transposes it before it quantizes it, so 4-bit it is [out, in]. Converting one kind into the other without
    /// transposing gives a model that loads and computes nonsense.
    public func isConv1D(_ tensor: LogicalTensor) -> Bool {
        guard hasConv1D, let module = LinearModule(tensor) else { return false }
        return ["c_attn", "c_proj", "c_fc", "q_attn"].contains { module.path.hasSuffix(".\($0)") }
    }

    /// Whether some of the architecture's linear layers are `Conv1D`.
    public var hasConv1D: Bool { modelTypes.contains { WeightOrientation.conv1DArchitectures.contains($0) } }

    /// Whether the experts of a layer are stored [experts, in, out] (the class has `is_transposed`) in place of
    /// [experts, out, in]; `nil` when that is not known.
    public var expertsAreTransposed: Bool? {
        isKnown ? modelTypes.contains { WeightOrientation.transposedExperts.contains($0) } : nil
    }

    private static let conv1DArchitectures: Set<String> = [
        "gpt2", "openai-gpt", "imagegpt", "decision_transformer", "clvp",
    ]

    /// The architectures with `use_experts_implementation(is_transposed=True)`.
    private static let transposedExperts: Set<String> = ["gpt_oss", "aria", "aria_text", "openai_privacy_filter"]
}
