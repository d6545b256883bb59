import LosslessJSON
import Reports
import Tensors

extension ModelDifference {
    /// The comparison as a page; see ``Reports/ReportPage``.
    public func page() -> ReportPage {
        ReportPage(
            command: "qconv diff", title: "\(a.path) → \(b.path)", sections: [section], gates: gates,
            notices: [], documents: documents, inputs: inputs,
            footer: ReportPage.footer(version: toolVersion, run: run))
    }

    private var section: ReportPage.Section {
        ReportPage.Section(
            name: b.path, tone: tone, verdict: verdict.text, facts: facts,
            metrics: [
                ReportPage.updateKept,
                .init(
                    "relative_error", "relative error", .percent, .high,
                    "The norm of the difference over that of the first model's values."),
                .init("changed", "values changed", .percent, .high, "The share of values that are not the same."),
                ReportPage.codesChanged,
                .init(
                    "scales_changed", "scales changed", .percent, .high, "The share of decoded scales that differ."),
                .init(
                    "max_abs_error", "largest difference", .number, .high,
                    "The largest difference, in the unit of the weights."),
                .init("p99_9", "99.9th percentile", .number, .high, "What 99.9 % of the differences do not exceed."),
                .init("p50", "median difference", .number, .high, "What half of the differences do not exceed."),
                .init("sqnr_db", "SQNR", .decibels, .low, "Signal to quantization noise ratio."),
                .init(
                    "update_to_step", "update / 4-bit step", .percent, .low,
                    "The size of the update beside the distance between neighbouring 4-bit levels."),
                ReportPage.updateRatio,
                .init(
                    "merge_error", "error as a merge", .percent, .high,
                    "The norm of the difference from the first model plus the update."),
            ],
            rows: tensors.map(\.row))
    }

    private var tone: ReportPage.Tone {
        if let kept = summary.overall.updateKept {
            return kept < UpdateSurvival.erasedBelow ? .bad : kept < UpdateSurvival.thinnedBelow ? .warning : .good
        }
        return isEqual ? .good : .neutral
    }

    private var facts: [ReportPage.Fact?] {
        let different = summary.count(.different)
        let missing = summary.count(.onlyInA) + summary.count(.onlyInB) + summary.count(.shapesDiffer)
        return [
            summary.overall.updateKept.map { kept in
                ReportPage.Fact(
                    "update kept", NumberText.percentCutOff(kept),
                    note: "\(summary.kept) kept, \(summary.thinned) thinned, \(summary.erased) erased")
            },
            summary.overall.relativeError.map { error in
                ReportPage.Fact(
                    "relative error", NumberText.percent(error),
                    note: summary.overall.sqnrDecibels.flatMap {
                        $0.isFinite ? "\(NumberText.fixed($0, decimals: 1)) dB SQNR" : nil
                    } ?? "")
            },
            distribution.map { found in
                ReportPage.Fact(
                    "typical difference", NumberText.significant(found.median, digits: 3),
                    note: "99.9 % below \(NumberText.significant(found.percentile999, digits: 3))")
            },
            summary.codesChangedShare.map { ReportPage.Fact("codes changed", NumberText.percent($0)) },
            summary.medianUpdateToStep.map { steps in
                ReportPage.Fact("update", NumberText.percent(steps), note: "of a 4-bit step (median)")
            },
            ReportPage.Fact(
                "tensors that differ", "\(different) of \(tensors.count)",
                note: missing > 0 ? "\(missing) more cannot be paired" : "\(summary.count(.identical)) identical"),
            ReportPage.Fact(
                "size", NumberText.bytes(b.bytes),
                note: a.bytes == b.bytes ? "the same" : "the first: \(NumberText.bytes(a.bytes))"),
        ]
    }

    private var documents: [ReportPage.Document] {
        func text(_ changes: [ConfigurationChange]) -> String {
            changes.map { change in
                let before = change.a?.serialized(.pythonOneLine) ?? "(none)"
                let after = change.b?.serialized(.pythonOneLine) ?? "(none)"
                return "\(change.key): \(before) → \(after)"
            }.joined(separator: "\n")
        }
        var documents = [ReportPage.Document("How it was compared", optionsAsJSON.serialized(.pretty))]
        if let adapter {
            documents.append(ReportPage.Document("The adapter", "\(adapter.path), \(adapter.modulesMatched) modules"))
        }
        if !configurationChanges.isEmpty {
            documents.insert(
                ReportPage.Document(
                    "\(counted(configurationChanges.count, "change")) in the configuration", text(configurationChanges)),
                at: 0)
        }
        if !metadataChanges.isEmpty {
            documents.append(ReportPage.Document("Changes in the metadata", text(metadataChanges)))
        }
        return documents
    }
}

extension TensorDifference {
    fileprivate var row: ReportPage.Row {
        let keys = [
            "update_kept", "relative_error", "changed", "codes_changed", "scales_changed", "max_abs_error", "p99_9",
            "p50", "sqnr_db", "update_to_step", "update_ratio", "merge_error",
        ]
        return ReportPage.Row(
            name: name, status: outcome.rawValue.split(separator: "_").joined(separator: " "),
            storage: DifferenceTable.storage(self),
            shape: ((b ?? a)?.shape ?? []).map(String.init).joined(separator: "×"), values: keys.map(figure),
            distribution: distribution, updateWeight: update?.sums.squaredUpdate)
    }
}
