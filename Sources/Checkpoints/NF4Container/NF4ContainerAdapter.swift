import Tensors

/// A LoRA adapter that travels in a container beside the base model: its factors exactly as they were trained.
public struct NF4ContainerAdapter: Hashable, Sendable {
    /// What a tensor is to its module, under PEFT's names.
    public enum Role: UInt8, CaseIterable, Hashable, Sendable {
        case loraA = 0
        case loraB = 1
        case loraEmbeddingA = 2
        case loraEmbeddingB = 3
        case loraMagnitudeVector = 4
        case loraBBias = 5
        /// A whole tensor that replaces the base's (`modules_to_save`).
        case wholeTensor = 6
        /// Rows that replace some of the module's weight (`trainable_token_indices`).
        case trainedRows = 7
    }

    /// A tensor of a module, by its index in the adapter's ``NF4ContainerAdapter/tensors``.
    public struct Factor: Hashable, Sendable {
        public var role: Role
        public var tensor: Int

        public init(role: Role, tensor: Int) {
            self.role = role
            self.tensor = tensor
        }
    }

    /// A module that the adapter changes.
    public struct Module: Hashable, Sendable {
        /// The module's path in the base model, such as `model.layers.0.mlp.up_proj`.
        public var name: String
        /// r; 0 for a module that is replaced as a whole.
        public var rank: Int
        /// lora_alpha / r, or lora_alpha / √r with rsLoRA.
        public var scaling: Double
        /// Whether the base's weight is stored [in, out].
        public var fanInFanOut: Bool
        public var factors: [Factor]

        public init(name: String, rank: Int, scaling: Double, fanInFanOut: Bool = false, factors: [Factor]) {
            self.name = name
            self.rank = rank
            self.scaling = scaling
            self.fanInFanOut = fanInFanOut
            self.factors = factors
        }
    }

    public var name: String
    /// The factor by which the whole adapter counts.
    public var weight: Double
    /// The bytes of `adapter_config.json`.
    public var configuration: [UInt8]
    /// The adapter's tensors, dense, under PEFT's names.
    public var tensors: [LogicalTensor]
    public var modules: [Module]

    public init(
        name: String, weight: Double = 1, configuration: [UInt8], tensors: [LogicalTensor], modules: [Module]
    ) {
        self.name = name
        self.weight = weight
        self.configuration = configuration
        self.tensors = tensors
        self.modules = modules
    }
}
