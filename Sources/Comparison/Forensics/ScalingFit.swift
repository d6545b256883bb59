import Tensors

/// The least-squares fit of a tensor's change to an update: change ≈ ratio · update.
public struct ScalingFit: Hashable, Sendable {
    /// How many times the update is in the change: ⟨c, d⟩ / ⟨d, d⟩.
    public let ratio: Double
    /// The standard error of ``ratio`` if what the fit leaves is noise: √(rest / (n − 1) / ⟨d, d⟩).
    public let standardError: Double
    /// The share of the change that the fit explains, R² = ⟨c, d⟩² / (⟨c, c⟩ ⟨d, d⟩); 0 when nothing changed.
    public let share: Double
    /// What the fit leaves of the change: Σ (c − ratio · d)².
    let squaredRest: Double

    /// The fit; `nil` for an update of zeros, or when there are no elements.
    init?(_ sums: FitSums) {
        guard sums.count > 0, sums.squaredUpdate > 0 else { return nil }
        ratio = sums.changeDotUpdate / sums.squaredUpdate
        let explained = ratio * sums.changeDotUpdate
        squaredRest = max(0, sums.squaredChange - explained)
        standardError = (squaredRest / Double(max(sums.count - 1, 1)) / sums.squaredUpdate).squareRoot()
        share = sums.squaredChange > 0 ? min(1, max(0, explained / sums.squaredChange)) : 0
    }

    /// How many standard errors the ratio is away from 0.
    var significance: Double { standardError > 0 ? abs(ratio) / standardError : ratio == 0 ? 0 : .infinity }

    /// Whether the ratio may be what is expected, within a relative tolerance and four standard errors.
    func agrees(with expected: Double, relative tolerance: Double) -> Bool {
        abs(ratio - expected) <= max(tolerance * abs(expected), FitThresholds.standardErrors * standardError)
    }
}

/// Where a judgement of a fit turns. formats/explain-merge.md says what they rest on.
enum FitThresholds {
    /// Within this many standard errors two ratios count as the same.
    static let standardErrors = 4.0
    /// A ratio may be off by this much of itself.
    static let relative = 0.02
    /// The same in 4 bit, where values beyond the outermost level are cut off.
    static let relativeIn4Bit = 0.1
    /// With a standard error above this, a missing and a right update cannot be told apart.
    static let undecidedError = 0.125
    /// The standard errors from which on a correlation with another update is no accident.
    static let significance = 8.0
    /// The share of a change that an explanation must cover unless rounding explains the rest.
    static let share = 0.5
    /// How many times the expected rounding noise a rest may be.
    static let noiseFactor = 2.0
    /// The relative error of B·A that 16-bit arithmetic may bring.
    static let productError = 0.01
}

/// How much of a change rounding can explain.
struct RoundingAllowance {
    private let sums: FitSums
    private let squared: Double

    /// - Parameters:
    ///   - base: How the base's tensor is stored.
    ///   - merged: How the merged model's is.
    init(_ sums: FitSums, base: Encoding, merged: Encoding) {
        self.sums = sums
        let stored =
            merged.blockQuantization == nil
            ? 2 * sums.nearest.squaredError : max(sums.unbiasedVariance, sums.nearest.squaredError)
        // A merge that was computed in the narrower of the two dtypes. Uniform in ±ulp/2, rounded to the nearest, a number with
        // p significant bits has a mean squared relative error of 2^(2 − 2p) / 24; twice that without a bias.
        let bits = min(base.significantBits, merged.significantBits)
        var share = 1.0 / 12
        for _ in 1..<bits { share /= 4 }
        squared = FitThresholds.noiseFactor * (stored + share * max(sums.squaredBase, sums.squaredMerged))
    }

    /// Whether rounding explains what is left of a change, or all of it.
    ///
    /// - Parameter squaredUpdate: The square of the update that was computed and added.
    func covers(_ squaredRest: Double, squaredUpdate: Double = 0) -> Bool {
        squaredRest <= limit(squaredUpdate: squaredUpdate)
    }

    /// The largest sum of squares that rounding explains.
    func limit(squaredUpdate: Double) -> Double {
        squared + FitThresholds.productError * FitThresholds.productError * squaredUpdate
    }
}

extension Encoding {
    /// The bits of precision of decoded values: those of the dtype's significand, the leading one included.
    fileprivate var significantBits: Int {
        switch self {
        case .blockQuantized(let quantization): Encoding.dense(quantization.dtype).significantBits
        case .dense(.f64), .dense(.f32): 24
        case .dense(.f16): 11
        case .dense(.bf16): 8
        case .dense(.f8e4m3), .dense(.f8e4m3fnuz): 4
        case .dense(.f8e5m2), .dense(.f8e5m2fnuz): 3
        default: 24
        }
    }
}
