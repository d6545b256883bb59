extension BatchReport {
    /// The report as a person reads it in a terminal: one line an adapter, why some have no output, and the conclusion.
    ///
    /// - Parameters:
    ///   - width: Characters a line, at least 40.
    ///   - styled: Whether to use ANSI colours; only for a terminal.
    public func terminalText(width: Int = 80, styled: Bool = false) -> String {
        let width = max(TerminalText.minimumWidth, width)
        let reasons = adapters.flatMap { adapter in
            adapter.reason.map {
                TerminalText.wrappedMessage("\(TerminalText.printable(adapter.path)): \($0)", width: width)
            } ?? []
        }
        let notices = warnings.flatMap { TerminalText.wrapped($0, width: width, label: "warning: ") }
        let closing = TerminalText.wrapped(conclusion, width: width)
        let paragraphs = [table(width: width, styled: styled), reasons, notices, runLines(width: width), closing]
        return paragraphs.filter { !$0.isEmpty }.map { $0.joined(separator: "\n") + "\n" }.joined(separator: "\n")
    }

    private func table(width: Int, styled: Bool) -> [String] {
        func column(
            _ title: String, rank: Int, _ text: (BatchFigures) -> String?,
            style: (BatchFigures) -> TerminalText.Style? = { _ in nil }
        ) -> FittedTable.Column {
            FittedTable.Column(
                title, rank: rank,
                cells: adapters.map { adapter in
                    adapter.figures.flatMap { figures in
                        text(figures).map { FittedTable.Cell($0, style: style(figures)) }
                    }
                })
        }
        let status = FittedTable.Column(
            "status", alignment: .left, rank: 0,
            cells: adapters.map { FittedTable.Cell($0.status.word, style: $0.status.style) })
        return FittedTable(
            nameTitle: "adapter", names: adapters.map(\.path),
            columns: [
                status,
                column("update", rank: 3) { $0.updateRatio.map(NumberText.percent) },
                column("kept", rank: 1) {
                    $0.updateKept.map { NumberText.percentCutOff($0, trimmed: false) }
                } style: {
                    $0.updateKept.flatMap(TensorTable.survivalStyle)
                },
                column("error", rank: 2) { $0.relativeError.map(NumberText.percent) },
                column("changed", rank: 5) { $0.codesChanged.map(NumberText.percent) },
                column("size", rank: 4) { $0.bytes.map(NumberText.bytes) },
            ]
        ).lines(width: width, styled: styled)
    }

    private func runLines(width: Int) -> [String] {
        guard let run else { return [] }
        let facts = run.texts + [counted(passes, "pass", "passes")]
        return TerminalText.wrapped(facts.joined(separator: ", "), width: width, label: "run  ")
    }
}

extension BatchReport.Status {
    fileprivate var style: TerminalText.Style? {
        switch self {
        case .converted: .green
        case .unchanged: nil
        case .gateFailed, .leftOut, .interrupted, .notStarted: .yellow
        case .failed: .red
        }
    }
}
