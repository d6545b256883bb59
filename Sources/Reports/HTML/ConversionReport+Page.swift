import LosslessJSON
import Tensors

extension ConversionReport {
    /// The report as a page; see ``ReportPage``.
    public func page() -> ReportPage {
        let input = spec["input"]?.string ?? ""
        let paths = outputs.map(\.path)
        var notices = warnings.map { "Warning: \($0)" }
        if isDiscarded { notices.insert("A gate failed: nothing was put in place.", at: 0) }
        return ReportPage(
            command: "qconv pipeline",
            title: ReportPage.title(from: input, to: paths.count == 1 ? paths[0] : "\(paths.count) outputs"),
            origins: [ReportPage.Document("input", input)]
                + adapters.map { ReportPage.Document("adapter", $0.text) }
                + outputs.map { ReportPage.Document("output", "\($0.path) (\($0.format))") },
            sections: outputs.map(\.section), gates: gates, notices: notices,
            documents: [ReportPage.Document("The spec, with every default", spec.serialized(.pretty))],
            inputs: inputs, footer: ReportPage.footer(version: toolVersion, run: run))
    }
}

extension AdapterReport {
    /// `adapters/final, 28 modules, weight 0.5`
    package var text: String {
        "\(path), \(counted(modulesMatched, "module"))"
            + (weight == 1 ? "" : ", weight \(NumberText.significant(weight, digits: 3))")
    }
}

extension OutputReport {
    /// The output as a part of a page.
    package var section: ReportPage.Section {
        ReportPage.Section(
            name: path, tone: verdict.outcome.tone, label: verdict.outcome.label, verdict: verdict.sentences,
            facts: facts, metrics: OutputReport.metrics.map(\.metric),
            overall: OutputReport.metrics.map { $0.overall(summary) }, rows: tensors.map(\.row))
    }

    /// The figures of a page, with where they stand for all tensors together and for one.
    fileprivate static let metrics:
        [(
            metric: ReportPage.Metric, overall: @Sendable (OutputSummary) -> Double?,
            value: @Sendable (TensorReport) -> Double?
        )] = [
            (.updateKept, { $0.overall.updateKept }, { $0.figures.updateKept }),
            (
                .init(
                    "relative_error", "relative error", .percent, .high,
                    "The norm of the error over that of the exact result."),
                { $0.overall.relativeError }, { $0.figures.relativeError }
            ),
            (.codesChanged, { $0.codesChangedShare }, { $0.codesChangedShare }),
            (
                .init(
                    "max_abs_error", "largest error", .number, .high, "The largest error, in the unit of the weights."),
                { $0.overall.maxAbsError }, { $0.figures.maxAbsError }
            ),
            (
                .init("rmse", "rmse", .number, .high, "The root of the mean squared error.", isMain: false),
                { $0.overall.rmse }, { $0.figures.rmse }
            ),
            (.sqnr, { $0.overall.sqnrDecibels }, { $0.figures.sqnrDecibels }),
            (.updateRatio, { $0.overall.updateRatio }, { $0.figures.updateRatio }),
        ]

    /// The figures of an output's section.
    static var pageMetrics: [ReportPage.Metric] { metrics.map(\.metric) }

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
            shape: ReportPage.Row.shape(shape), values: OutputReport.metrics.map { $0.value(self) },
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

    var label: String {
        switch self {
        case .untouched: "copied"
        case .converted: "converted"
        case .survived: "adapter kept"
        case .thinned: "adapter thinned"
        case .erased: "adapter erased"
        }
    }
}
