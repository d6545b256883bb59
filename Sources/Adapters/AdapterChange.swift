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
    }
}

extension LoRAModule {
    /// What this module changes in the base model.
    ///
    /// - Parameter index: This module's index in its adapter.
    func changes(at index: Int) -> [AdapterChange] {
        [AdapterChange(tensorName: weightName, kind: .lowRank(module: index))]
            + (tensors.bias == nil ? [] : [AdapterChange(tensorName: biasName, kind: .bias(module: index))])
    }
}
