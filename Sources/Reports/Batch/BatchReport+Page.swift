import LosslessJSON

extension BatchReport {
    /// The report as a page that compares all adapters; see ``ReportPage``.
    ///
    /// Every adapter is a section: the table of sections puts them side by side. The tensors of those that an earlier run has
    /// converted are not known any more; those of a large batch would make a page that no browser likes.
    public func page() -> ReportPage {
        let rows = adapters.reduce(0) { $0 + ($1.details?.tensors.count ?? 0) }
        return ReportPage(
            command: "qconv batch", title: "\(ReportPage.lastName(input)), \(counted(adapters.count, "adapter"))",
            origins: [ReportPage.Document("input", input)], sectionNoun: "adapter",
            sections: adapters.map { $0.section(showsTensors: rows <= BatchReport.mostRows) },
            notices: [conclusion] + warnings.map { "Warning: \($0)" },
            footer: ReportPage.footer(version: toolVersion, run: run))
    }

    /// The most tensors of all adapters together that a page shows.
    private static let mostRows = 60_000
}

extension BatchReport.Adapter {
    private static let updateRatio = ReportPage.Metric(
        "update_ratio", "update / weights", .percent, .high, "The norm of the update over that of the weights.")
    private static let size = ReportPage.Metric(
        "megabytes", "size, MB", .number, .high, "The size of the output's files.")

    fileprivate func section(showsTensors: Bool) -> ReportPage.Section {
        let details = details?.section
        let metrics = OutputReport.pageMetrics.map { $0.key == Self.updateRatio.key ? Self.updateRatio : $0 }
        return ReportPage.Section(
            name: path, tone: tone, label: label,
            verdict: (reason.map { [$0] } ?? []) + (details?.verdict ?? [status.sentence]),
            facts: (details?.facts ?? ownFacts) + [
                figures?.bytes.map { ReportPage.Fact("output", NumberText.bytes($0), note: "of files") }
            ],
            metrics: metrics + [Self.size],
            overall: (details?.overall ?? metrics.map { figure($0.key) }) + [figures?.bytes.map { Double($0) / 1e6 }],
            rows: showsTensors ? details?.rows.map { $0.adding(nil) } ?? [] : [])
    }

    private var tone: ReportPage.Tone {
        switch status {
        case .failed, .gateFailed: .bad
        case .leftOut, .interrupted, .notStarted: .warning
        case .converted, .unchanged:
            reason != nil ? .bad : figures?.updateKept.map(ReportPage.Tone.init(updateKept:)) ?? .neutral
        }
    }

    private var label: String {
        guard hasOutputs, let outcome = figures?.outcome else { return status.word }
        return status == .unchanged ? "\(outcome.label), unchanged" : outcome.label
    }

    private var ownFacts: [ReportPage.Fact?] {
        [
            figures?.updateKept.map { kept in
                ReportPage.Fact(
                    "update kept", NumberText.percentCutOff(kept),
                    note: figures?.leastKept.map { "least \(NumberText.percentCutOff($0.value))" } ?? "")
            },
            figures?.relativeError.map { ReportPage.Fact("relative error", NumberText.percent($0)) },
        ]
    }

    /// A figure of all tensors together, by its key.
    private func figure(_ key: String) -> Double? { figures?.json[key]?.double }
}

extension BatchReport.Status {
    /// `Unchanged since an earlier run.`
    fileprivate var sentence: String { words.prefix(1).uppercased() + words.dropFirst() + "." }
}

extension ReportPage.Row {
    /// The same row with one more value.
    fileprivate func adding(_ value: Double?) -> ReportPage.Row {
        ReportPage.Row(
            name: name, status: status, storage: storage, shape: shape, values: values + [value],
            distribution: distribution, updateWeight: updateWeight)
    }
}
