import Quantization
import Reports

/// What a tensor's change is fitted to an update by: float64 sums over its elements.
///
/// With, for an element, w₀ the base's value, w₁ the merged model's, c = w₁ − w₀ the change, d the update as configured.
struct FitSums: PartialResult {
    /// w₁ against w₀: Σ c² and the squared norms of both.
    var change = ErrorSums()
    /// w₁ against w₀ + d: Σ d², Σ c·d.
    var update = ErrorSums()
    /// The exact result rounded to the nearest value that the merged model's own encoding has.
    var nearest = RoundedSums()
    /// The exact result rounded to the nearest 4-bit level as the base is, where only the base is 4-bit: on the base's own
    /// scales, and on fresh ones.
    var nearestOnBaseScales = RoundedSums()
    var nearestOnFreshScales = RoundedSums()
    /// The variance that rounding w₀ + d to one of the two neighbouring levels has when it is unbiased: Σ (x − l)(u − x).
    /// Zero where the merged model is not 4-bit.
    var unbiasedVariance = 0.0
    /// Elements that are not finite on one side and something else on the other.
    var nonFiniteMismatches = 0
    /// Elements that changed where both sides have the same 4-bit levels and the same scale.
    var changedOnOneGrid = 0

    mutating func merge(_ next: FitSums) {
        change.merge(next.change)
        update.merge(next.update)
        nearest.merge(next.nearest)
        nearestOnBaseScales.merge(next.nearestOnBaseScales)
        nearestOnFreshScales.merge(next.nearestOnFreshScales)
        unbiasedVariance += next.unbiasedVariance
        nonFiniteMismatches += next.nonFiniteMismatches
        changedOnOneGrid += next.changedOnOneGrid
    }

    /// Every way in which a right merge may have been rounded to the nearest value.
    var roundings: [RoundedSums] { [nearest, nearestOnBaseScales, nearestOnFreshScales] }

    /// Elements that the sums are over.
    var count: Int { change.comparedCount }
    /// Σ c²
    var squaredChange: Double { change.squaredError }
    /// Σ w₀²
    var squaredBase: Double { change.squaredExact }
    /// Σ w₁²
    var squaredMerged: Double { change.squaredWritten }
    /// Σ d²
    var squaredUpdate: Double { update.squaredUpdate }
    /// Σ c·d
    var changeDotUpdate: Double { update.changeDotUpdate }
}

/// What the right merge would be after rounding to the nearest value, q. Zero where nothing was rounded.
struct RoundedSums: Sendable {
    /// Σ (q − w₀)²
    var squaredChange = 0.0
    /// Σ (q − w₀)·d
    var changeDotUpdate = 0.0
    /// Σ (q − w₀ − d)²
    var squaredError = 0.0
    /// Σ (w₁ − q)²
    var squaredMismatch = 0.0

    mutating func merge(_ next: RoundedSums) {
        squaredChange += next.squaredChange
        changeDotUpdate += next.changeDotUpdate
        squaredError += next.squaredError
        squaredMismatch += next.squaredMismatch
    }
}
