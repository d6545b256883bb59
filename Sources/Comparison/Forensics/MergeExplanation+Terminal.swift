import Reports

extension MergeExplanation {
    /// The explanation as a person reads it in a terminal: the models, the modules, and what to conclude.
    ///
    /// - Parameters:
    ///   - width: Characters a line, at least 40.
    ///   - styled: Whether to use ANSI colours; only for a terminal.
    ///   - all: Every tensor in a line of its own.
    public func terminalText(width: Int = 80, styled: Bool = false, all: Bool = false) -> String {
        let width = max(TerminalText.minimumWidth, width)
        let conclusion = TerminalText.wrapped(conclusion, width: width)
        let style = isRight ? TerminalText.Style.green : .red
        let paragraphs = [
            sideLines(width: width), ExplanationTable(tensors, all: all).lines(width: width, styled: styled),
            styled ? conclusion.map(style.applied) : conclusion,
        ]
        return paragraphs.filter { !$0.isEmpty }.map { $0.joined(separator: "\n") + "\n" }.joined(separator: "\n")
    }

    private func sideLines(width: Int) -> [String] {
        func labelled(_ label: String, _ text: String) -> [String] {
            TerminalText.wrapped(text, width: width, label: TerminalText.padded(label, to: 9, alignment: .left))
        }
        return labelled("base", base.text) + labelled("merged", merged.text)
            + (adapter.map { labelled("adapter", $0.text) } ?? [])
            + (run.map { labelled("run", $0.text(bytes: base.bytes + merged.bytes)) } ?? [])
    }
}
