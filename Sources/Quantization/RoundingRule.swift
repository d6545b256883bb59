import Tensors

/// How a value between two levels becomes one of them.
public enum RoundingRule: Sendable {
    /// The nearer level; a value exactly between goes to the lower one, as in bitsandbytes.
    case nearest
    /// Unbiased: with p = (x − lower) / (upper − lower), the upper level with probability p, else the lower one. The
    /// randomness is a pure function of the key and the element's index in the tensor.
    case stochastic(StochasticKey)
}
