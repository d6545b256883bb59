import LosslessJSON
import Reports
import Tensors

extension ModelDifference {
    /// The comparison as a page; see ``Reports/ReportPage``.
    public func page() -> ReportPage {
        ReportPage(
            command: "qconv diff", title: ReportPage.title(from: a.path, to: b.path), origins: origins,
            sectionNoun: "comparison", sections: [section], gates: gates, documents: documents, inputs: inputs,
            footer: ReportPage.footer(version: toolVersion, run: run))
    }

    private var origins: [ReportPage.Document] {
        [("A", a), ("B", b)].map { ReportPage.Document($0, $1.text) }
            + (adapter.map { [ReportPage.Document("adapter", $0.text)] } ?? [])
    }

    private var section: ReportPage.Section {
        ReportPage.Section(
            name: b.path, tone: tone, label: label, verdict: verdict.sentences, facts: facts,
            metrics: ModelDifference.metrics.map(\.metric),
            overall: ModelDifference.metrics.map { $0.overall(self) }, rows: tensors.map(\.row))
    }

    /// The figures of a page, and where they stand for all tensors together; each tensor has them under their keys.
    fileprivate static let metrics: [(metric: ReportPage.Metric, overall: @Sendable (ModelDifference) -> Double?)] = [
        (.updateKept, { $0.summary.overall.updateKept }),
        (
            .init(
                "relative_error", "relative error", .percent, .high,
                "The norm of the difference over that of A's values."),
            { $0.summary.overall.relativeError }
        ),
        (
            .init("changed", "values changed", .percent, .high, "The share of values that are not the same."),
            { $0.summary.elements == 0 ? nil : Double($0.summary.counts.changed) / Double($0.summary.elements) }
        ),
        (.codesChanged, { $0.summary.codesChangedShare }),
        (
            .init(
                "scales_changed", "scales changed", .percent, .high, "The share of decoded scales that differ.",
                isMain: false),
            { $0.summary.scalesChangedShare }
        ),
        (
            .init(
                "max_abs_error", "largest difference", .number, .high,
                "The largest difference, in the unit of the weights."),
            { $0.summary.overall.maxAbsError }
        ),
        (
            .init(
                "p99_9", "99.9th percentile", .number, .high, "What 99.9 % of the differences do not exceed.",
                isMain: false),
            { $0.distribution?.percentile999 }
        ),
        (
            .init(
                "p50", "median difference", .number, .high, "What half of the differences do not exceed.", isMain: false
            ),
            { $0.distribution?.median }
        ),
        (.sqnr, { $0.summary.overall.sqnrDecibels }),
        (
            .init(
                "update_to_step", "update / 4-bit step", .percent, .low,
                "The size of the update beside the distance between neighbouring 4-bit levels.", isMain: false),
            { $0.summary.medianUpdateToStep }
        ),
        (.updateRatio, { $0.summary.overall.updateRatio }),
        (
            .init(
                "merge_error", "error as a merge", .percent, .high,
                "The norm of the difference from A plus the update.",
                isMain: false),
            { $0.summary.mergeError }
        ),
    ]

    private var tone: ReportPage.Tone {
        if let kept = summary.overall.updateKept { return ReportPage.Tone(updateKept: kept) }
        return isEqual ? .good : .neutral
    }

    /// The conclusion in two words.
    private var label: String {
        guard let kept = summary.overall.updateKept else { return verdict.outcome.rawValue }
        return "adapter \(UpdateDifference.Outcome(updateKept: kept).rawValue)"
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
                    "median difference", NumberText.significant(found.median, digits: 3),
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
        ReportPage.Row(
            name: name, status: outcome.rawValue.split(separator: "_").joined(separator: " "),
            storage: DifferenceTable.storage(self),
            shape: ReportPage.Row.shape((b ?? a)?.shape ?? []),
            values: ModelDifference.metrics.map { figure($0.metric.key) }, distribution: distribution,
            updateWeight: update?.sums.squaredUpdate)
    }
}
