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

    /// The tensor of the base model that the update is added to.
    public var weightName: String { name + ".weight" }

    /// The weight's shape as the configuration says it is stored: [out, in], or [in, out] with `fan_in_fan_out`.
    public func weightShape(fanInFanOut: Bool) -> [Int] {
        fanInFanOut ? [inFeatures, outFeatures] : [outFeatures, inFeatures]
    }
}
