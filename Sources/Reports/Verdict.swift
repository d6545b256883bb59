import Tensors

/// How much of a fine-tuning survives a conversion, in two numbers.
///
/// Both rest on the perplexity of merged models; formats/report.md, "What the thresholds rest on", has the measurements.
public enum UpdateSurvival {
    /// Below this share of the update kept, an adapter counts as thinned.
    ///
    /// Where nearest rounding keeps 0.9 of an update (from about 12 % of the weight norm on), it costs less than the noise of
    /// stochastic rounding: an update of 40 % took perplexity from 1698 to 51 unmerged and 55 merged, against 58. An
    /// update of 9 %, which nearest rounding does not keep to that degree, had 119 unmerged and 151 merged, against 123.
    public static let thinnedBelow = 0.9

    /// Below this share of the update kept, an adapter counts as erased.
    ///
    /// Updates of about 1 % of the weight norm keep 0.02 of themselves under nearest rounding, and the model goes most of
    /// the way back to its base: perplexity 24.4 for the base, 13.1 with the adapter on top, 22.6 merged.
    public static let erasedBelow = 0.3
}

/// What became of an output, in plain words.
public struct Verdict: Hashable, Sendable {
    public enum Outcome: String, CaseIterable, Hashable, Sendable {
        /// Every tensor was copied byte for byte.
        case untouched
        /// There was no update to keep, and the output differs from the exact result by rounding, or not at all.
        case converted
        /// At least ``UpdateSurvival/thinnedBelow`` of the update was kept.
        case survived
        /// Less than ``UpdateSurvival/thinnedBelow`` of the update was kept.
        case thinned
        /// Less than ``UpdateSurvival/erasedBelow`` of the update was kept.
        case erased
    }

    public let outcome: Outcome
    /// Plain sentences: first what happened, then, where something was lost, what would keep it.
    public let sentences: [String]

    /// The sentences as one text.
    public var text: String { sentences.joined(separator: " ") }
}

extension OutputReport {
    /// What became of the model, and of the adapter if one was merged.
    public var verdict: Verdict {
        var verdict = survivalVerdict ?? errorVerdict
        if summary.nonFiniteWritten > 0 {
            verdict = verdict.adding(
                "\(counted(summary.nonFiniteWritten, "value")) became NaN or infinite; no figure counts them.")
        }
        if summary.nonFiniteExact > 0 {
            verdict = verdict.adding(
                "\(counted(summary.nonFiniteExact, "value")) had no finite exact result; no figure counts them.")
        }
        return verdict
    }

    // MARK: - With an update

    private var survivalVerdict: Verdict? {
        guard let kept = summary.overall.updateKept, let least = summary.worstUpdateKept else { return nil }
        let thinned = tensors.filter { ($0.figures.updateKept ?? 1) < UpdateSurvival.thinnedBelow }
        let share = NumberText.percentCutOff(kept)
        switch kept {
        case ..<UpdateSurvival.erasedBelow:
            let sentence = "The adapter was erased: only \(share) of the update was kept\(unchangedCodesClause)."
            return Verdict(outcome: .erased, sentences: [sentence, remedy(for: thinned)])
        case ..<UpdateSurvival.thinnedBelow:
            let extent =
                thinned.count == summary.updated
                ? "" : ", with less than 90 % in \(thinned.count) of \(counted(summary.updated, "tensor"))"
            let sentence = "The adapter was thinned: \(share) of the update was kept\(extent)."
            return Verdict(outcome: .thinned, sentences: [sentence, remedy(for: thinned)])
        default:
            var sentences = ["The adapter survived: \(share) of the update was kept\(roundingClause)."]
            guard !thinned.isEmpty else { return Verdict(outcome: .survived, sentences: sentences) }
            let count =
                thinned.count == 1
                ? "1 of \(counted(summary.updated, "tensor")) kept less than 90 %"
                : "\(thinned.count) of \(counted(summary.updated, "tensor")) kept less than 90 %, least"
            sentences.append("\(count): \(least.tensor), \(NumberText.percentCutOff(least.value)).")
            // Stochastic rounding scatters around all of the update: a small tensor below the mean needs no remedy.
            let avoidable = thinned.filter { $0.rounding != .stochastic }
            if !avoidable.isEmpty { sentences.append(remedy(for: avoidable)) }
            return Verdict(outcome: .survived, sentences: sentences)
        }
    }

    /// Why an update was lost, where the codes show it: hardly one moved.
    private var unchangedCodesClause: String {
        guard let changed = summary.codesChangedShare, changed < 0.1 else { return "" }
        return ", because \(NumberText.percentCutOff(1 - changed)) of the 4-bit codes stayed what they were"
    }

    private var roundingClause: String {
        guard summary.roundedStochastically > 0 else { return "" }
        let rounded = summary.roundedStochastically + summary.roundedNearest
        return "; \(summary.roundedStochastically) of \(counted(rounded, "tensor")) rounded stochastically"
    }

    /// What would keep the update of these tensors.
    private func remedy(for thinned: [TensorReport]) -> String {
        // What was rounded to 4 bit and then decoded again lost its update in 4 bit.
        let fourBit = thinned.filter { $0.after.blockQuantization != nil || $0.rounding != nil }
        guard fourBit.isEmpty else {
            if fourBit.allSatisfy({ $0.rounding == .stochastic }) {
                return "Rounding was stochastic already; to keep more, merge into 16 bit with dequantize-merge."
            }
            // Where some tensors were rounded stochastically, "auto" may have chosen: ask for more than it.
            let rounding = summary.roundedStochastically > 0 ? "stochastic" : "auto"
            return "To keep it in 4 bit, give merge-in-4bit \"rounding\": \"\(rounding)\" and \"scales\": \"base\";"
                + " or merge into 16 bit with dequantize-merge."
        }
        let advice =
            switch thinned.map({ $0.after.denseDType?.bits ?? 0 }).max() ?? 0 {
            case 32...: ""
            case 16 where !thinned.contains { $0.after.denseDType == .bf16 }: "; \"dtype\": \"f32\" keeps it"
            default: "; \"dtype\": \"f16\" keeps more of it, \"f32\" all"
            }
        return "The update is smaller than the output's dtype can tell apart\(advice)."
    }

    // MARK: - Without an update

    private var errorVerdict: Verdict {
        guard summary.converted > 0 else {
            return Verdict(outcome: .untouched, sentences: ["Every tensor was copied byte for byte."])
        }
        let what = "\(summary.converted) of \(counted(tensors.count, "tensor")) converted"
        guard let error = summary.overall.relativeError else {
            return Verdict(outcome: .converted, sentences: ["\(what)."])
        }
        guard error > 0 else {
            return Verdict(outcome: .converted, sentences: ["\(what), every value exact."])
        }
        var sentence = "\(what), with a relative error of \(NumberText.percent(error))"
        if let sqnr = summary.overall.sqnrDecibels { sentence += " (\(NumberText.fixed(sqnr, decimals: 1)) dB SQNR)" }
        if let worst = summary.worstRelativeError, summary.converted > 1 {
            sentence += "; the largest is \(NumberText.percent(worst.value)), in \(worst.tensor)"
        }
        return Verdict(outcome: .converted, sentences: [sentence + "."])
    }
}

extension Verdict {
    fileprivate func adding(_ sentence: String) -> Verdict {
        Verdict(outcome: outcome, sentences: sentences + [sentence])
    }
}

/// `1 tensor`, `28 tensors`; `3 passes` with a plural of its own.
package func counted(_ count: Int, _ noun: String, _ plural: String? = nil) -> String {
    "\(count) \(count == 1 ? noun : plural ?? noun + "s")"
}
