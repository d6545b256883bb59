import LosslessJSON

/// One thing that an adapter does to one tensor of the base model.
public struct AdapterChange: Hashable, Sendable {
    /// The tensor of the base model.
    public let tensorName: String
    public let kind: Kind

    public enum Kind: Hashable, Sendable {
        /// The low-rank update of a module's weight, with DoRA's magnitudes if it has some.
        case lowRank(module: Int)
        /// The bias of lora_B, scaled, added to a module's bias.
        case bias(module: Int)
        /// A whole tensor of the adapter's file in the place of the base's, of its index; in its own shape.
        ///
        /// `isCopy`: it was trained as a copy beside the base's (`modules_to_save`), which a tied output head does not
        /// follow. Otherwise it is the base's own tensor (`bias`, a resized embedding), and what is tied to it changes too.
        case replacement(tensor: Int, isCopy: Bool)
        /// Rows of a tensor of the adapter's file, of its index, in the place of the base's rows of these indices
        /// (`trainable_token_indices`).
        case rows(tensor: Int, indices: [Int])
    }
}

extension AdapterChange {
    /// The module with low-rank factors that the change belongs to, as an index into the adapter's; `nil` for others.
    public var module: Int? {
        switch kind {
        case .lowRank(let module), .bias(let module): module
        case .replacement, .rows: nil
        }
    }

    /// What makes the change more than an addition, by PEFT's name.
    public var feature: String {
        switch kind {
        case .lowRank: "DoRA (use_dora)"
        case .bias: "lora_bias"
        case .replacement(_, isCopy: true): "a whole tensor (modules_to_save)"
        case .replacement(_, isCopy: false): "a whole tensor (bias, or a saved embedding)"
        case .rows: "trained rows (trainable_token_indices)"
        }
    }
}

extension AdapterChange {
    /// What is replaced, and not added to, for a line of a terminal; `nil` for an addition.
    public var replacementText: String? {
        switch kind {
        case .lowRank, .bias: nil
        case .replacement: "\(tensorName)  replaced"
        case .rows(_, let indices): "\(tensorName)  \(indices.count) rows replaced"
        }
    }

    /// The same for JSON: the tensor, and which rows where it is not the whole.
    public var replacementJSON: JSONValue? {
        switch kind {
        case .lowRank, .bias: nil
        case .replacement: ["tensor": .string(tensorName)]
        case .rows(_, let indices):
            ["tensor": .string(tensorName), "rows": .array(indices.map { .int($0) })]
        }
    }
}

extension LoRAModule {
    /// What it brings besides lora_A and lora_B: `dora`, `lora_bias`.
    public var extras: [String] { (hasMagnitude ? ["dora"] : []) + (tensors.bias == nil ? [] : ["lora_bias"]) }

    /// What this module changes in the base model.
    ///
    /// - Parameter index: This module's index in its adapter.
    func changes(at index: Int) -> [AdapterChange] {
        [AdapterChange(tensorName: weightName, kind: .lowRank(module: index))]
            + (tensors.bias == nil ? [] : [AdapterChange(tensorName: biasName, kind: .bias(module: index))])
    }
}
