import LosslessJSON
import Tensors

extension ConversionReport {
    /// The report as a page; see ``ReportPage``.
    public func page() -> ReportPage {
        let input = spec["input"]?.string ?? ""
        let paths = outputs.map(\.path).joined(separator: ", ")
        var notices = warnings.map { "Warning: \($0)" }
        if isDiscarded { notices.insert("A gate failed: nothing was put in place.", at: 0) }
        return ReportPage(
            command: "qconv pipeline", title: "\(input) → \(paths)", sections: outputs.map(\.section), gates: gates,
            notices: notices,
            documents: [ReportPage.Document("The spec, with every default", spec.serialized(.pretty))],
            inputs: inputs, footer: ReportPage.footer(version: toolVersion, run: run))
    }
}

extension ReportPage {
    /// `qconv 0.1, 0.31 s, 2 threads, peak memory 58.3 MiB`
    package static func footer(version: String, run: RunFacts?) -> String {
        var facts = ["qconv \(version)"]
        if let run {
            facts.append(NumberText.duration(seconds: run.seconds))
            facts.append(counted(run.threads, "thread"))
            if let peak = run.peakMemoryBytes { facts.append("peak memory \(NumberText.memory(peak))") }
        }
        return facts.joined(separator: ", ")
    }

    /// The metrics that comparisons and conversions share.
    package static let updateKept = Metric(
        "update_kept", "update kept", .percent, .survival,
        "How much of the adapter's update is in the result: ⟨change, update⟩ / ⟨update, update⟩.")
    package static let codesChanged = Metric(
        "codes_changed", "codes changed", .percent, .high, "The share of 4-bit codes that differ.")
    package static let updateRatio = Metric(
        "update_ratio", "update / weights", .percent, .high, "The norm of the update over that of the weights.")
}

extension OutputReport {
    fileprivate var section: ReportPage.Section {
        ReportPage.Section(
            name: path, tone: verdict.outcome.tone, verdict: verdict.text, facts: facts,
            metrics: [
                ReportPage.updateKept,
                .init(
                    "relative_error", "relative error", .percent, .high,
                    "The norm of the error over that of the exact result."),
                ReportPage.codesChanged,
                .init(
                    "max_abs_error", "largest error", .number, .high, "The largest error, in the unit of the weights."),
                .init("rmse", "rmse", .number, .high, "The root of the mean squared error."),
                .init("sqnr_db", "SQNR", .decibels, .low, "Signal to quantization noise ratio."),
                ReportPage.updateRatio,
            ],
            rows: tensors.map(\.row))
    }

    private var facts: [ReportPage.Fact?] {
        let bits = [summary.before.bitsPerWeight, summary.after.bitsPerWeight].map { bits in
            bits.map { NumberText.fixed($0, decimals: 2) } ?? NumberText.missing
        }
        return [
            summary.overall.updateKept.map { kept in
                ReportPage.Fact(
                    "update kept", NumberText.percentCutOff(kept),
                    note: summary.worstUpdateKept.map { "least \(NumberText.percentCutOff($0.value))" } ?? "")
            },
            summary.overall.relativeError.map { error in
                ReportPage.Fact(
                    "relative error", NumberText.percent(error),
                    note: summary.worstRelativeError.map { "at most \(NumberText.percent($0.value))" } ?? "")
            },
            summary.codesChangedShare.map { ReportPage.Fact("codes changed", NumberText.percent($0)) },
            summary.overall.updateRatio.map {
                ReportPage.Fact("update", NumberText.percent($0), note: "of the weights' norm")
            },
            ReportPage.Fact(
                "tensors", "\(summary.converted) converted",
                note: summary.untouched > 0 ? "\(summary.untouched) copied unchanged" : ""),
            ReportPage.Fact(
                "size", NumberText.bytes(summary.after.bytes), note: "from \(NumberText.bytes(summary.before.bytes))"),
            ReportPage.Fact("bits a weight", bits[1], note: "from \(bits[0])"),
        ]
    }
}

extension TensorReport {
    fileprivate var row: ReportPage.Row {
        ReportPage.Row(
            name: name, status: isUntouched ? "untouched" : rounding.map { "rounded \($0.rawValue)" } ?? "converted",
            storage: before.label == after.label ? after.label : "\(before.label) → \(after.label)",
            shape: shape.map(String.init).joined(separator: "×"),
            values: [
                figures.updateKept, figures.relativeError, codesChangedShare, figures.maxAbsError, figures.rmse,
                figures.sqnrDecibels, figures.updateRatio,
            ],
            distribution: nil, updateWeight: hasUpdate ? sums?.squaredUpdate : nil)
    }
}

extension Verdict.Outcome {
    fileprivate var tone: ReportPage.Tone {
        switch self {
        case .untouched, .converted: .neutral
        case .survived: .good
        case .thinned: .warning
        case .erased: .bad
        }
    }
}
