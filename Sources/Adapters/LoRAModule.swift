import Tensors

/// A module that an adapter has factors for.
public struct LoRAModule: Hashable, Sendable {
    /// The module's path in the base model: `model.layers.0.self_attn.q_proj`.
    public let name: String
    /// The rank r of its factors.
    public let rank: Int
    /// Columns of lora_A [rank, in].
    public let inFeatures: Int
    /// Rows of lora_B [out, rank].
    public let outFeatures: Int
    /// lora_alpha of this module.
    public let alpha: Double
    /// alpha / rank, or alpha / √rank with rsLoRA. PEFT multiplies float32 products by it, as a float32.
    public let scaling: Double
    /// Whether the weight is stored [in, out], as that of a `Conv1D` (`fan_in_fan_out`), in place of [out, in].
    public let isStoredInOut: Bool
    /// The module's tensors in the adapter's file.
    public let tensors: Tensors

    /// Indices of a module's tensors among those of the adapter.
    public struct Tensors: Hashable, Sendable {
        /// lora_A, [rank, in].
        public let a: Int
        /// lora_B, [out, rank].
        public let b: Int
        /// DoRA's magnitudes, [out].
        public let magnitude: Int?
        /// The bias of lora_B, [out].
        public let bias: Int?
    }

    /// The tensor of the base model that the update is added to.
    public var weightName: String { name + ".weight" }

    /// The tensor of the base model that the bias of lora_B is added to.
    public var biasName: String { name + ".bias" }

    /// Whether the update is DoRA's: the rows of the sum are scaled to trained lengths.
    public var hasMagnitude: Bool { tensors.magnitude != nil }

    /// The shape of the weight as it is stored: [out, in], or [in, out].
    public var weightShape: [Int] { weightShape(storedInOut: isStoredInOut) }

    /// The weight's shape in one of the two orientations.
    func weightShape(storedInOut: Bool) -> [Int] {
        storedInOut ? [inFeatures, outFeatures] : [outFeatures, inFeatures]
    }
}
