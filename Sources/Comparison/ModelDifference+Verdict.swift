import Reports

/// What a comparison came to, in plain words.
public struct DifferenceVerdict: Hashable, Sendable {
    public enum Outcome: String, CaseIterable, Hashable, Sendable {
        /// All tensors are the same, byte for byte, and the configurations say the same.
        case identical
        /// All values are the same; some are stored differently.
        case equal
        /// Some values are not the same, but within the tolerance.
        case tolerated
        case different
    }

    public let outcome: Outcome
    /// Plain sentences.
    public let sentences: [String]

    /// The sentences as one text.
    public var text: String { sentences.joined(separator: " ") }
}

extension ModelDifference {
    public var verdict: DifferenceVerdict {
        let outcome: DifferenceVerdict.Outcome =
            !isEqual
            ? .different
            : summary.tolerated > 0
                ? .tolerated : summary.count(.identical) == tensors.count ? .identical : .equal
        // Whoever gives an adapter asks about it first.
        return DifferenceVerdict(
            outcome: outcome, sentences: survivalSentences + [openingSentence(outcome)] + otherSentences)
    }

    private var noun: String { a.kind == .adapter ? "adapters" : "models" }

    private func openingSentence(_ outcome: DifferenceVerdict.Outcome) -> String {
        let all = "\(tensors.count == 1 ? "the" : "all") \(counted(tensors.count, "tensor"))"
        switch outcome {
        case .identical where tensors.isEmpty: return "There is nothing to compare."
        case .identical: return "The \(noun) are identical: \(all), byte for byte."
        case .equal:
            return "The \(noun) are equal: every value is the same in \(all)\(storageClause)."
        case .tolerated:
            let tolerance = NumberText.significant(options.tolerance, digits: 3)
            return
                "The \(noun) are equal within the tolerance: \(counted(summary.tolerated, "tensor")) of \(tensors.count) differ by a relative error of at most \(tolerance)."
        case .different: return differenceSentence
        }
    }

    private var storageClause: String {
        let count = summary.storedDifferently
        return count == 0 ? "" : ", though \(count) \(count == 1 ? "is" : "are") stored differently"
    }

    private var differenceSentence: String {
        guard summary.compared > 0 else {
            guard summary.count(.onlyInA) + summary.count(.onlyInB) == tensors.count else {
                return "The \(noun) are different: no tensor of one can be compared with one of the other."
            }
            return "The \(noun) have no tensor's name in common; if only their names differ, give a --map rule."
        }
        let different = summary.count(.different)
        guard different > 0 else {
            return "Every value that both \(noun) have is the same\(storageClause), but the \(noun) are not."
        }
        var sentence = "\(different) of \(counted(tensors.count, "tensor")) differ\(different == 1 ? "s" : "")"
        if let error = summary.overall.relativeError {
            sentence += ", by a relative error of \(NumberText.percent(error))"
            if let decibels = summary.overall.sqnrDecibels, decibels.isFinite {
                sentence += " (\(NumberText.fixed(decibels, decimals: 1)) dB SQNR)"
            }
        }
        if let worst = summary.worstRelativeError, different > 1, worst.value > 0 {
            sentence += "; the largest is \(NumberText.percent(worst.value)), in \(worst.tensor)"
        }
        let without = summary.withoutRelativeError
        if without > 0, without < different {
            // What was zero has changed by more than any percentage.
            sentence +=
                ", not counting \(counted(without, "tensor")) that \(isOrAre(without)) zero or not finite in the first"
        } else if without > 0 {
            sentence += " from zeros, or from what is not finite"
        }
        return sentence + "."
    }

    private var otherSentences: [String] {
        var sentences: [String] = []
        let onlyInA = summary.count(.onlyInA)
        let onlyInB = summary.count(.onlyInB)
        switch (onlyInA, onlyInB) {
        case (0, 0): break
        case (_, 0): sentences.append("\(counted(onlyInA, "tensor")) \(isOrAre(onlyInA)) missing from the second.")
        case (0, _): sentences.append("The second has \(counted(onlyInB, "tensor")) more.")
        default:
            sentences.append(
                "\(counted(onlyInA, "tensor")) \(isOrAre(onlyInA)) only in the first, \(onlyInB) only in the second.")
        }
        let shapes = summary.count(.shapesDiffer)
        if shapes > 0 {
            sentences.append("\(counted(shapes, "tensor")) \(shapes == 1 ? "has" : "have") another shape.")
        }
        let opaque = summary.count(.notComparable)
        if opaque > 0 {
            sentences.append("\(counted(opaque, "tensor")) \(isOrAre(opaque)) of dtypes that cannot be compared.")
        }
        let mismatches = summary.counts.nonFiniteMismatches
        if mismatches > 0 {
            sentences.append(
                "\(counted(mismatches, "value")) \(isOrAre(mismatches)) NaN or infinite in one and not in the other; no figure counts them."
            )
        }
        let keys = configurationChanges.filter { !$0.isAboutStorage }.map(\.key)
        if !keys.isEmpty {
            let listed = keys.prefix(3).joined(separator: ", ") + (keys.count > 3 ? " and \(keys.count - 3) more" : "")
            sentences.append("The configurations do not describe the same model: \(listed).")
        }
        return sentences + containedAdapterSentences
    }

    /// What the containers hold beside the weights.
    private var containedAdapterSentences: [String] {
        func sentence(_ outcome: ContainedAdapterDifference.Outcome, _ what: String) -> String? {
            let names = containedAdapters.filter { $0.outcome == outcome }.map(\.name)
            guard !names.isEmpty else { return nil }
            return
                "The unmerged \(names.count == 1 ? "adapter" : "adapters") \(names.joined(separator: ", ")) \(isOrAre(names.count)) \(what)."
        }
        return [
            sentence(.onlyInA, "only in the first"), sentence(.onlyInB, "only in the second"),
            sentence(.different, "not the same in both"),
        ].compactMap(\.self)
    }

    private func isOrAre(_ count: Int) -> String { count == 1 ? "is" : "are" }

    /// What became of the adapter.
    private var survivalSentences: [String] {
        guard adapter != nil else { return [] }
        guard let kept = summary.overall.updateKept else {
            return [
                summary.updated == 0
                    ? "None of the adapter's tensors could be compared."
                    : "The adapter's update is zero everywhere: there is nothing to keep."
            ]
        }
        let share = NumberText.percentCutOff(kept)
        let lost = summary.thinned + summary.erased
        let extent =
            lost == 0
            ? ""
            : lost == summary.updated
                ? ", and less than 90 % in every tensor"
                : ", but less than 90 % in \(lost) of \(counted(summary.updated, "tensor"))"
        switch kept {
        case ..<UpdateSurvival.erasedBelow:
            var sentences = ["The second has lost the adapter: \(share) of its update is left."]
            if let steps = summary.medianUpdateToStep, steps < 0.5 {
                sentences.append(
                    "At \(NumberText.percent(steps)) of the distance between two 4-bit levels the update is too small to move most weights when they are rounded to the nearest level."
                )
            }
            return sentences
        case ..<UpdateSurvival.thinnedBelow:
            return ["The second keeps a part of the adapter: \(share) of its update\(extent)."]
        default:
            return ["The second keeps the adapter: \(share) of its update\(extent)."]
        }
    }
}
