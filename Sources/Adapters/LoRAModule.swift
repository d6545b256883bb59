import Tensors

/// A module that an adapter has factors for.
public struct LoRAModule: Hashable, Sendable {
    /// The module's path in the base model: `model.layers.0.self_attn.q_proj`.
    public let name: String
    public let kind: Kind
    /// The rank r of its factors. Those of experts stand side by side: rank is the rows of lora_A, experts · r.
    public let rank: Int
    /// Columns of lora_A [rank, in]; channels of a convolution's [rank, in, kernel…].
    public let inFeatures: Int
    /// Rows of lora_B [out, rank].
    public let outFeatures: Int
    /// lora_alpha of this module.
    public let alpha: Double
    /// alpha / rank, or alpha / √rank with rsLoRA. PEFT multiplies float32 products by it, as a float32.
    public let scaling: Double
    /// Whether the weight is stored [in, out], in place of [out, in]: that of an embedding is ([tokens, width]), and that of a
    /// `Conv1D` if the configuration is right (`fan_in_fan_out`). The model may show that it is not.
    public let isStoredInOut: Bool
    /// The module's tensors in the adapter's file.
    public let tensors: Tensors

    /// What the factors belong to.
    public enum Kind: Hashable, Sendable {
        /// A weight [out, in] or [in, out].
        case linear
        /// A weight [out, in, kernel…].
        case convolution(kernel: [Int])
        /// An embedding's weight [tokens, width]: lora_A is lora_embedding_A [rank, tokens], lora_B is lora_embedding_B
        /// [width, rank].
        case embedding
        /// A parameter that `target_parameters` names.
        case parameter(WrappedParameter)
    }

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

        /// Those that are there.
        public var all: [Int] { [a, b] + [magnitude, bias].compactMap(\.self) }
    }

    /// The tensor of the base model that the update is added to.
    ///
    /// Where the factors are a parameter's, that is the first of those that it may be, until a model is at hand.
    public var weightName: String { parameter?.targets.first?.name ?? name + ".weight" }

    /// The tensor of the base model that the bias of lora_B is added to.
    public var biasName: String { name + ".bias" }

    /// Whether the update is DoRA's: the rows of the sum are scaled to trained lengths.
    public var hasMagnitude: Bool { tensors.magnitude != nil }

    /// The parameter that the factors belong to; `nil` for a module's weight.
    public var parameter: WrappedParameter? {
        if case .parameter(let parameter) = kind { parameter } else { nil }
    }

    /// The rank r of the update of a matrix: where the factors are those of several experts, that of each, as the
    /// configuration has it.
    public var matrixRank: Int {
        parameter?.targets.first { rank.isMultiple(of: $0.rank) }?.rank ?? rank
    }

    /// The shape of the weight as far as the adapter alone tells: [out, in], [in, out] or [out, in, kernel…]; of a matrix of
    /// several experts.
    public var weightShape: [Int] { weightShape(storedInOut: isStoredInOut) }

    /// How the factors' product lies in the weight as far as the adapter alone tells.
    public var placement: FactorPlacement {
        FactorPlacement(layout: isStoredInOut ? .inOut : .outIn, rank: rank, scaling: scaling)
    }

    /// The weight's shape in one of the two orientations.
    func weightShape(storedInOut: Bool) -> [Int] {
        if case .convolution(let kernel) = kind { return [outFeatures, inFeatures] + kernel }
        return storedInOut ? [inFeatures, outFeatures] : [outFeatures, inFeatures]
    }
}
