import Quantization
import Reports
import Tensors

/// The tensors of a comparison taken together.
public struct DifferenceSummary: Hashable, Sendable {
    /// A figure and the tensor it belongs to.
    public struct Extreme: Hashable, Sendable {
        public let tensor: String
        public let value: Double
    }

    /// Tensors with each outcome.
    public let outcomes: [TensorDifference.Outcome: Int]
    /// Tensors that are different, but within the tolerance.
    public let tolerated: Int
    /// Tensors whose dtype, encoding or blocks are not the same in both models.
    public let storedDifferently: Int
    /// Elements that were compared.
    public let elements: Int
    /// Elements that are not the same, and that are not finite.
    public let counts: DifferenceCounts
    /// The figures of all tensors together: the RMSE over every element that was compared, what is relative to a over the tensors
    /// that are different, and the update's over those that have one.
    public let overall: ErrorFigures
    public let worstRelativeError: Extreme?
    /// Tensors that are different and have no relative error: without what is not finite on a side they are all zeros in a, or
    /// nothing is left.
    public let withoutRelativeError: Int
    public let codesChangedShare: Double?
    public let scalesChangedShare: Double?

    // With an adapter

    public let updated: Int
    public let kept: Int
    public let thinned: Int
    public let erased: Int
    public let worstUpdateKept: Extreme?
    /// The error of b as a merge of a and the update, over the tensors that have one.
    public let mergeError: Double?
    /// √(Σ update² / Σ step²) as in ``UpdateDifference/updateToStep``, the median of the tensors.
    public let medianUpdateToStep: Double?

    /// Tensors that keep the models from being equal.
    public var unequal: Int {
        outcomes.reduce(0) { $0 + ([.identical, .equal].contains($1.key) ? 0 : $1.value) } - tolerated
    }

    public func count(_ outcome: TensorDifference.Outcome) -> Int { outcomes[outcome] ?? 0 }

    /// Tensors whose values were compared.
    public var compared: Int { count(.identical) + count(.equal) + count(.different) }

    init(_ tensors: [TensorDifference]) {
        outcomes = tensors.reduce(into: [:]) { $0[$1.outcome, default: 0] += 1 }
        tolerated = tensors.count { $0.outcome == .different && $0.isTolerated }
        storedDifferently = tensors.count { tensor in
            guard let a = tensor.a, let b = tensor.b else { return false }
            return a.encoding.label != b.encoding.label
                || a.encoding.blockQuantization?.blocksize != b.encoding.blockQuantization?.blocksize
        }
        var all = ErrorSums()
        var updates = ErrorSums()
        var counts = DifferenceCounts()
        var codes = (changed: 0, total: 0)
        var scales = (changed: 0, total: 0)
        for tensor in tensors {
            if let sums = tensor.sumsForOverallFigures { all.merge(sums) }
            if let update = tensor.update { updates.merge(update.sums) }
            if let found = tensor.counts { counts.merge(found) }
            if let changed = tensor.codesChanged { codes = (codes.changed + changed, codes.total + tensor.elements) }
            if let changed = tensor.scalesChanged, let count = tensor.scaleCount {
                scales = (scales.changed + changed, scales.total + count)
            }
        }
        self.counts = counts
        elements = tensors.lazy.filter(\.isCompared).reduce(0) { $0 + $1.elements }
        overall = ErrorFigures(all, update: updates)
        worstRelativeError = DifferenceSummary.extreme(of: tensors, \.figures.relativeError, >)
        withoutRelativeError = tensors.count {
            $0.outcome == .different && $0.sums != nil && $0.figures.relativeError == nil
        }
        codesChangedShare = codes.total == 0 ? nil : Double(codes.changed) / Double(codes.total)
        scalesChangedShare = scales.total == 0 ? nil : Double(scales.changed) / Double(scales.total)

        let changes = tensors.compactMap(\.update)
        updated = changes.count
        kept = changes.count { $0.outcome == .kept }
        thinned = changes.count { $0.outcome == .thinned }
        erased = changes.count { $0.outcome == .erased }
        worstUpdateKept = DifferenceSummary.extreme(of: tensors, \.update?.figures.updateKept, <)
        mergeError = ErrorFigures(updates, hasUpdate: true).relativeError
        medianUpdateToStep = median(changes.compactMap(\.updateToStep))
    }

    /// The tensor whose figure comes first; among equals, the first in order.
    private static func extreme(
        of tensors: [TensorDifference], _ figure: (TensorDifference) -> Double?, _ precedes: (Double, Double) -> Bool
    ) -> Extreme? {
        var found: Extreme?
        for tensor in tensors {
            guard let value = figure(tensor) else { continue }
            if let found, !precedes(value, found.value) { continue }
            found = Extreme(tensor: tensor.name, value: value)
        }
        return found
    }
}

extension TensorDifference {
    /// What the figures of all tensors together take of this one.
    ///
    /// Of a tensor without a difference these are its elements alone. Where it is stored alike nobody looked at its values, and
    /// whether it is must not move a figure.
    fileprivate var sumsForOverallFigures: ErrorSums? {
        guard outcome == .identical || outcome == .equal else { return sums }
        var exact = ErrorSums()
        exact.count = sums?.comparedCount ?? elements
        return exact
    }
}

/// The median; of an even number, the mean of the middle two.
private func median(_ values: [Double]) -> Double? {
    guard !values.isEmpty else { return nil }
    let sorted = values.sorted()
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
