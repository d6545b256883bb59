import Adapters
import Reports
import Tensors

/// What happened to one tensor between the base and the merged model.
public struct TensorExplanation: Hashable, Sendable {
    /// The tensor's name, after renames.
    public let name: String
    /// The tensor as the base has it.
    public let base: LogicalTensor?
    /// The tensor as the merged model has it.
    public let merged: LogicalTensor?
    /// The adapter's module whose update belongs here; `nil` for a tensor that the adapter leaves alone.
    public let module: LoRAModule?
    public let outcome: MergeOutcome
    /// Other mistakes that put the same scaling into the weight: with r = 4, alpha / √r is twice alpha / r.
    public let alternatives: [MergeOutcome]
    /// The fit of the change to the module's own update.
    public let fit: ScalingFit?
    /// The module whose update the change holds, and how many times.
    public let otherModule: String?
    /// The fit of the change to ``otherModule``'s update, or to the own one transposed.
    public let otherFit: ScalingFit?
    /// ‖w₁ − w₀‖ / ‖w₀‖; `nil` where values were not compared or the base is all zeros.
    public let changeRatio: Double?
    /// ‖update‖ / ‖w₀‖.
    public let updateRatio: Double?
    /// What the fit leaves, √Σ (c − ratio · d)², over what rounding can explain: below 1, rounding explains it.
    public let restToRounding: Double?
    /// How much of the update a right merge would keep after rounding to the nearest value in the merged model's encoding.
    public let keptIfNearest: Double?

    public var elements: Int { (base ?? merged)?.elementCount ?? 0 }

    /// The scaling that the configuration says.
    // Inlined, this and the next trip Swift 6.3.1's optimizer (CopyPropagation) over the module that they borrow.
    @inline(never)
    public var configuredScaling: Double? { module?.scaling }

    /// The scaling that was applied to the module's own update.
    @inline(never)
    public var appliedScaling: Double? {
        guard let module, let fit else { return nil }
        return fit.ratio * module.scaling
    }
}
