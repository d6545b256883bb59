/// A way of PEFT's `add_weighted_adapter` to make one adapter of several.
///
/// All of them but `cat` combine the factors, not the updates: lora_A's with each other and lora_B's with each other. The
/// product of such sums has cross terms, so that even `linear` is not the sum of the updates.
public struct AdapterCombination: Hashable, Sendable {
    public enum Method: String, CaseIterable, Hashable, Sendable {
        /// Weighted sums of factors.
        case linear
        /// Factors side by side: the sum of the updates, exactly.
        case cat
        /// Values that are small or against the majority's sign are dropped; the mean of the others (TIES).
        case ties
        /// Random values are dropped, the others scaled up to keep the expected value; weighted sums (DARE).
        case dareLinear = "dare_linear"
        /// Random values are dropped as in `dare_linear`, the others combined as in `ties`.
        case dareTies = "dare_ties"
        /// Small values are dropped; weighted sums.
        case magnitudePrune = "magnitude_prune"

        /// Whether some values are dropped, so that a density is needed.
        public var isSparse: Bool { self != .linear && self != .cat }
        /// Whether a majority of signs decides.
        public var electsSigns: Bool { self == .ties || self == .dareTies }
        /// Whether it is random what is dropped.
        public var isRandom: Bool { self == .dareLinear || self == .dareTies }
    }

    /// How the majority's sign of a value is found: by the sum of the values, or by their number.
    public enum MajoritySignMethod: String, CaseIterable, Hashable, Sendable {
        case total
        case frequency
    }

    public let method: Method
    /// The share of values that is kept, above 0 and up to 1; without effect where none are dropped.
    public let density: Double
    public let majoritySignMethod: MajoritySignMethod
    /// Decides what is dropped at random, together with the tensor's name, the adapter's position and the element's index.
    public let seed: UInt64

    public init(
        _ method: Method, density: Double = 1, majoritySignMethod: MajoritySignMethod = .total, seed: UInt64 = 0
    ) {
        self.method = method
        self.density = density
        self.majoritySignMethod = majoritySignMethod
        self.seed = seed
    }
}
