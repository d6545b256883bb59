import Quantization
import Reports
import Tensors

/// What is different between two tensors of one name, or that there is only one.
public struct TensorDifference: Hashable, Sendable {
    public enum Outcome: String, CaseIterable, Hashable, Sendable {
        /// Stored alike, byte for byte.
        case identical
        /// Every value is the same, but not every byte: another dtype, encoding or padding.
        case equal
        /// At least one value is not the same.
        case different
        /// The tensors have different shapes; their values were not compared.
        case shapesDiffer = "shapes_differ"
        /// The tensors are stored differently and one of the dtypes cannot be decoded; values were not compared.
        case notComparable = "not_comparable"
        case onlyInA = "only_in_a"
        case onlyInB = "only_in_b"
    }

    /// The name that both tensors go by, after renames.
    public let name: String
    /// The tensor as a has it, under the name it has there.
    public let a: LogicalTensor?
    /// The tensor as b has it, under the name it has there.
    public let b: LogicalTensor?
    public let outcome: Outcome
    /// Whether ``outcome`` counts as a difference, or is small enough to be tolerated.
    public let isTolerated: Bool

    /// What every figure follows from, b against a; `nil` where values were not looked at.
    public let sums: ErrorSums?
    /// Elements that are not the same, and that are not finite; `nil` where values were not looked at.
    public let counts: DifferenceCounts?
    /// How |b − a| is distributed; `nil` where there was nothing to compare.
    public let distribution: MagnitudeDistribution?
    /// How many 4-bit codes differ; `nil` unless both tensors are 4-bit with the same levels and the same blocks.
    public let codesChanged: Int?
    /// How many decoded scales differ; `nil` unless both tensors are 4-bit with the same levels and the same blocks.
    public let scalesChanged: Int?
    /// What became of the adapter's update; `nil` where it brings none.
    public let update: UpdateDifference?

    /// The figures that follow from ``sums``: relative error and the like of b against a.
    public let figures: ErrorFigures

    /// The number of elements; that of b where only b has the tensor or the shapes differ.
    public var elements: Int { (outcome == .shapesDiffer ? b : a ?? b)?.elementCount ?? 0 }

    /// Whether both models have values that can be compared.
    public var isCompared: Bool { [.identical, .equal, .different].contains(outcome) }

    /// The share of elements that are not the same number, from 0 to 1; `nil` where nobody looked or there are none.
    public var changedShare: Double? {
        if outcome == .identical { return elements == 0 ? nil : 0 }
        return counts.flatMap { elements == 0 ? nil : Double($0.changed) / Double(elements) }
    }

    /// The share of 4-bit codes that differ, from 0 to 1.
    public var codesChangedShare: Double? {
        codesChanged.flatMap { elements == 0 ? nil : Double($0) / Double(elements) }
    }

    /// The number of scales of a 4-bit tensor.
    public var scaleCount: Int? { a?.encoding.blockQuantization?.blockCount(elements: elements) }

    /// The share of scales that differ, from 0 to 1.
    public var scalesChangedShare: Double? {
        guard let scalesChanged, let scaleCount, scaleCount > 0 else { return nil }
        return Double(scalesChanged) / Double(scaleCount)
    }

    init(
        name: String, a: LogicalTensor?, b: LogicalTensor?, outcome: Outcome, tolerance: Double = 0,
        sums: ErrorSums? = nil, counts: DifferenceCounts? = nil, distribution: MagnitudeDistribution? = nil,
        codesChanged: Int? = nil, scalesChanged: Int? = nil, update: UpdateDifference? = nil
    ) {
        self.name = name
        self.a = a
        self.b = b
        self.outcome = outcome
        self.sums = sums
        self.counts = counts
        self.distribution = distribution
        self.codesChanged = codesChanged
        self.scalesChanged = scalesChanged
        self.update = update
        figures =
            switch outcome {
            case .identical: .untouched
            default: ErrorFigures(sums ?? ErrorSums(), hasUpdate: false)
            }
        isTolerated =
            switch outcome {
            case .identical, .equal: true
            case .different: TensorDifference.isTolerated(figures, counts, tolerance: tolerance)
            default: false
            }
    }

    /// A NaN or an infinity where the other side has a number is never small enough.
    private static func isTolerated(_ figures: ErrorFigures, _ counts: DifferenceCounts?, tolerance: Double) -> Bool {
        guard tolerance > 0, let counts, let error = figures.relativeError, error <= tolerance else { return false }
        return counts.nonFiniteMismatches == 0
    }
}

/// What became of an adapter's update from one model to another.
public struct UpdateDifference: Hashable, Sendable {
    public enum Outcome: String, CaseIterable, Hashable, Sendable {
        /// At least ``Reports/UpdateSurvival/thinnedBelow`` of the update is in b.
        case kept
        /// Less than that.
        case thinned
        /// Less than ``Reports/UpdateSurvival/erasedBelow`` of it.
        case erased
        /// The adapter's factors are zero here: there is nothing to keep.
        case empty

        init(updateKept: Double) {
            self =
                updateKept < UpdateSurvival.erasedBelow
                ? .erased : updateKept < UpdateSurvival.thinnedBelow ? .thinned : .kept
        }
    }

    /// What the figures follow from: b against a plus the update.
    public let sums: ErrorSums
    /// ‖update‖ / ‖a‖, ⟨b − a, update⟩ / ⟨update, update⟩, and the error of b as a merge of a and the update.
    public let figures: ErrorFigures
    /// √(Σ update² / Σ step²), with the step of an element the average distance between neighbouring levels of its block:
    /// how large the update is beside what 4 bit can tell apart. `nil` when neither model has the tensor in 4 bit.
    public let updateToStep: Double?

    init(sums: ErrorSums, squaredStep: Double) {
        self.sums = sums
        figures = ErrorFigures(sums, hasUpdate: true)
        let ratio = (sums.squaredUpdate / squaredStep).squareRoot()
        updateToStep = squaredStep > 0 && ratio.isFinite ? ratio : nil
    }

    public var outcome: Outcome {
        figures.updateKept.map { Outcome(updateKept: $0) } ?? .empty
    }
}
