/// What a tensor of a merged model turned out to hold, relative to the base and an adapter.
public enum MergeOutcome: String, CaseIterable, Hashable, Sendable {
    // Tensors that the adapter has an update for.

    /// The update, with the scaling that the configuration says.
    case asConfigured = "as_configured"
    /// The update is zero, and nothing changed.
    case empty
    /// Nothing of the update.
    case missing
    /// The update twice.
    case doubled
    /// The update subtracted.
    case negated
    /// B·A without the scaling.
    case unscaled
    /// alpha / √r in place of alpha / r.
    case rsLoRAScaling = "rslora_scaling"
    /// alpha / r in place of alpha / √r.
    case plainScaling = "plain_scaling"
    /// alpha in place of alpha / r (or alpha / √r).
    case alphaNotDivided = "alpha_not_divided"
    /// r and lora_alpha in place of what rank_pattern and alpha_pattern say.
    case patternsIgnored = "patterns_ignored"
    /// The update with another scaling, that nothing in the configuration explains.
    case scaled
    /// The update of a square weight, transposed.
    case transposed
    /// The update of another module.
    case otherModule = "other_module"
    /// A right merge, rounded to the nearest value: less than ``Reports/UpdateSurvival/erasedBelow`` of the update is left.
    case erased = "erased_by_rounding"
    /// The same: less than ``Reports/UpdateSurvival/thinnedBelow`` is left.
    case thinned = "thinned_by_rounding"
    /// A change that the update does not explain, or not alone.
    case unexplained = "unexplained_change"
    /// Values that became NaN or infinite.
    case notFinite = "not_finite"
    /// The rounding noise is too large to tell.
    case undecided
    /// The merged model does not have the tensor, or in another shape, or in a dtype that cannot be decoded.
    case notComparable = "not_comparable"

    // Tensors that the adapter leaves alone.

    /// The same values.
    case untouched
    /// The same values but for the rounding of another encoding.
    case rounded
    /// Other values.
    case changedWithoutUpdate = "changed_without_update"
    /// Only one of the models has the tensor, and it makes no difference (``OptionalTensors``).
    case onlyInOne = "only_in_one"
    /// The base has the tensor, the merged model does not.
    case missingTensor = "missing_tensor"
    /// The merged model has the tensor, the base does not.
    case extraTensor = "extra_tensor"

    /// Whether a right merge may have such tensors.
    public var isRight: Bool {
        switch self {
        case .asConfigured, .empty, .untouched, .rounded, .onlyInOne: true
        default: false
        }
    }

    /// A few words for a table.
    var label: String {
        switch self {
        case .asConfigured: "as configured"
        case .empty: "nothing to add"
        case .missing: "missing"
        case .doubled: "doubled"
        case .negated: "subtracted"
        case .unscaled: "scaling left out"
        case .rsLoRAScaling: "alpha/√r for alpha/r"
        case .plainScaling: "alpha/r for alpha/√r"
        case .alphaNotDivided: "alpha not divided"
        case .patternsIgnored: "patterns ignored"
        case .scaled: "scaled"
        case .transposed: "transposed"
        case .otherModule: "other module's"
        case .erased: "erased by rounding"
        case .thinned: "thinned by rounding"
        case .unexplained: "unexplained change"
        case .notFinite: "not finite"
        case .undecided: "undecided"
        case .notComparable: "not comparable"
        case .untouched: "untouched"
        case .rounded: "rounded"
        case .changedWithoutUpdate: "changed without an update"
        case .onlyInOne: "only in one model"
        case .missingTensor: "tensor missing"
        case .extraTensor: "tensor added"
        }
    }
}
