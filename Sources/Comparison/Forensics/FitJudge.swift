import Adapters
import Reports
import Tensors

/// What the sums say about a tensor that an adapter has an update for.
struct FitJudge {
    /// A first judgement.
    enum Judgement: Hashable, Sendable {
        case outcome(MergeOutcome)
        /// Not a value changed, which is what rounding makes of a right merge too.
        case unchanged
        /// The update with a scaling of its own; the readings that explain it, in their order.
        case scaled([ScalingReading])
        /// The update as configured does not explain the change; another may.
        case search(otherwise: MergeOutcome)
    }

    let sums: FitSums
    let fit: ScalingFit?
    let allowance: RoundingAllowance
    private let isMerged4Bit: Bool
    /// Whether the merged model may be unable to store what the base does. In one dtype, or with the same levels and scale, every
    /// value of the base has a place.
    private let mayRoundTheBase: Bool

    init(_ sums: FitSums, base: Encoding, merged: Encoding) {
        self.sums = sums
        fit = ScalingFit(sums)
        allowance = RoundingAllowance(sums, base: base, merged: merged)
        isMerged4Bit = merged.blockQuantization != nil
        mayRoundTheBase =
            (base.denseDType == nil || base.denseDType != merged.denseDType) && sums.changedOnOneGrid == 0
    }

    private var tolerance: Double { isMerged4Bit ? FitThresholds.relativeIn4Bit : FitThresholds.relative }

    /// What became of a tensor that the adapter leaves alone.
    var outcomeWithoutUpdate: MergeOutcome {
        guard sums.change.nonFiniteWritten == 0 else { return .notFinite }
        guard sums.nonFiniteMismatches == 0 else { return .changedWithoutUpdate }
        if sums.squaredChange == 0 { return .untouched }
        return isRoundingAlone ? .rounded : .changedWithoutUpdate
    }

    /// Whether a change without an update is no more than another encoding brings.
    private var isRoundingAlone: Bool {
        sums.squaredChange == 0 || mayRoundTheBase && allowance.covers(sums.squaredChange)
    }

    /// What became of an update.
    func judgement(_ readings: [ScalingReading]) -> Judgement {
        guard sums.change.nonFiniteWritten == 0 else { return .outcome(.notFinite) }
        // No sum holds what was NaN or infinite, and no update makes a number of it.
        guard sums.nonFiniteMismatches == 0 else { return .outcome(.unexplained) }
        guard let fit else { return .outcome(isRoundingAlone ? .empty : .changedWithoutUpdate) }
        guard sums.squaredChange > 0 else {
            return sums.roundings.contains(where: \.isErasing) ? .unchanged : .outcome(.missing)
        }
        let isExplained = allowance.covers(
            fit.squaredRest, squaredUpdate: sums.squaredUpdate * max(1, fit.ratio * fit.ratio))
        if isRight(fit) { return isExplained ? .outcome(.asConfigured) : .search(otherwise: .unexplained) }
        if let loss = roundingLoss(fit) { return .outcome(loss) }
        guard fit.standardError <= FitThresholds.undecidedError else { return .search(otherwise: .undecided) }
        guard !fit.agrees(with: 0, relative: 0), abs(fit.ratio) > tolerance else {
            return .search(otherwise: allowance.covers(sums.squaredChange) ? .missing : .unexplained)
        }
        guard isExplained || fit.share >= 1 - FitThresholds.relativeIn4Bit else {
            return .search(otherwise: .unexplained)
        }
        return .scaled(readings.filter { fit.agrees(with: $0.ratio, relative: tolerance) })
    }

    /// Whether the ratio is what a right merge has: 1, or what nearest rounding makes of it where that is close.
    private func isRight(_ fit: ScalingFit) -> Bool {
        guard FitThresholds.standardErrors * fit.standardError <= 0.5 else { return false }
        if fit.agrees(with: 1, relative: tolerance) { return true }
        guard let rounded = sums.nearest.ratio(of: sums), rounded >= UpdateSurvival.thinnedBelow else { return false }
        return fit.agrees(with: rounded, relative: FitThresholds.relative)
    }

    /// Erased or thinned, where rounding a right merge to the nearest value loses that much and what did change is what would
    /// have changed then, more closely than any scaling of the update is.
    private func roundingLoss(_ fit: ScalingFit) -> MergeOutcome? {
        guard fit.ratio < UpdateSurvival.thinnedBelow else { return nil }
        for rounded in sums.roundings {
            guard let kept = rounded.ratio(of: sums), kept < UpdateSurvival.thinnedBelow,
                let overlap = rounded.overlap(with: sums), overlap >= FitThresholds.share,
                rounded.squaredMismatch < fit.squaredRest
            else { continue }
            return fit.ratio < UpdateSurvival.erasedBelow ? .erased : .thinned
        }
        return nil
    }

    /// Whether another update explains the change where this one does not.
    func isBetter(_ other: ScalingFit, of otherSums: FitSums) -> Bool {
        guard other.significance >= FitThresholds.significance, other.share > 2 * (fit?.share ?? 0) else {
            return false
        }
        let added = otherSums.squaredUpdate * other.ratio * other.ratio
        return other.share >= FitThresholds.share || allowance.covers(other.squaredRest, squaredUpdate: added)
    }
}

extension RoundedSums {
    /// Whether rounding takes every element back to the base.
    fileprivate var isErasing: Bool { squaredChange == 0 && squaredError > 0 }

    /// How much of the update is left: ⟨q − w₀, d⟩ / ⟨d, d⟩; `nil` where nothing was rounded.
    func ratio(of sums: FitSums) -> Double? {
        guard sums.squaredUpdate > 0, squaredError > 0 || squaredChange > 0 else { return nil }
        return changeDotUpdate / sums.squaredUpdate
    }

    /// How much of the change that rounding predicts is in the change that took place: ⟨c, q − w₀⟩ / ⟨q − w₀, q − w₀⟩.
    fileprivate func overlap(with sums: FitSums) -> Double? {
        guard squaredChange > 0 else { return nil }
        return (sums.squaredChange + squaredChange - squaredMismatch) / 2 / squaredChange
    }
}
