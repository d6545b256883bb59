import LosslessJSON

extension BatchReport {
    /// The report as a page that compares all adapters; see ``ReportPage``.
    public func page() -> ReportPage {
        ReportPage(
            command: "qconv batch", title: "\(input), \(counted(adapters.count, "adapter"))", sections: [section],
            gates: [], notices: adapters.compactMap(\.notice) + warnings.map { "Warning: \($0)" }, documents: [],
            inputs: [], footer: ReportPage.footer(version: toolVersion, run: run))
    }

    private var section: ReportPage.Section {
        ReportPage.Section(
            name: input, tone: tone, label: label, verdict: sentences, facts: facts,
            metrics: [
                .updateKept,
                .init(
                    "least_kept", "least kept", .percent, .survival,
                    "What the tensor that kept least of its update kept of it."),
                .updateRatio,
                .init(
                    "relative_error", "relative error", .percent, .high,
                    "The norm of the error over that of the exact result."),
                .codesChanged,
                .init("megabytes", "output, MB", .number, .high, "The size of the output's files."),
            ],
            overall: [Double?](repeating: nil, count: 6), rows: adapters.map(\.row))
    }

    private var label: String {
        count(.failed) > 0 ? "\(count(.failed)) failed" : hasFailedGates ? "gates failed" : "converted"
    }

    private var tone: ReportPage.Tone {
        if count(.failed) > 0 { return .bad }
        guard let kept = mostThinned?.figures?.updateKept else { return .neutral }
        return ReportPage.Tone(updateKept: kept)
    }

    private var facts: [ReportPage.Fact?] {
        let kept = adapters.compactMap { $0.figures?.updateKept }
        let ratios = adapters.compactMap { $0.figures?.updateRatio }
        let bytes = adapters.flatMap(\.outputs).compactMap(\.bytes)
        func range(_ values: [Double], _ text: (Double) -> String) -> String? {
            guard let least = values.min(), let most = values.max() else { return nil }
            return least == most ? text(least) : "\(text(least)) to \(text(most))"
        }
        return [
            ReportPage.Fact(
                "adapters", "\(adapters.count { $0.hasOutputs }) of \(adapters.count)", note: "have an output"),
            range(kept) { NumberText.percentCutOff($0) }.map { ReportPage.Fact("update kept", $0) },
            range(ratios, NumberText.percent).map {
                ReportPage.Fact("update", $0, note: "of the weights' norm")
            },
            ReportPage.Fact("size", NumberText.bytes(bytes.reduce(0, +)), note: counted(bytes.count, "output")),
        ]
    }
}

extension BatchReport.Adapter {
    fileprivate var notice: String? { reason.map { "\(path): \($0)" } }

    fileprivate var row: ReportPage.Row {
        ReportPage.Row(
            name: path, status: status.word, storage: figures?.format ?? "", shape: "",
            values: [
                figures?.updateKept, figures?.leastKept?.value, figures?.updateRatio, figures?.relativeError,
                figures?.codesChanged, figures?.bytes.map { Double($0) / 1e6 },
            ],
            distribution: nil, updateWeight: nil)
    }
}
