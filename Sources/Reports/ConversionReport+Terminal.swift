extension ConversionReport {
    /// The report as a person reads it in a terminal: for every output the worst tensors, a few lines about all of them,
    /// and what became of the adapter.
    ///
    /// - Parameters:
    ///   - width: Characters a line, at least 40.
    ///   - rows: How many tensors to list for each output.
    ///   - styled: Whether to use ANSI colours; only for a terminal.
    public func terminalText(width: Int = 80, rows: Int = 8, styled: Bool = false) -> String {
        let width = max(TerminalText.minimumWidth, width)
        let closing = closingLines(width: width)
        var paragraphs: [[String]] = []
        for (index, output) in outputs.enumerated() {
            let isLast = index == outputs.count - 1
            paragraphs += output.paragraphs(closing: isLast ? closing : [], width: width, rows: rows, styled: styled)
        }
        let notices = warnings.flatMap { TerminalText.wrapped($0, width: width, label: "warning: ") }
        if !notices.isEmpty { paragraphs.append(notices) }
        if !gates.isEmpty { paragraphs.append(gateLines(width: width, styled: styled)) }
        return paragraphs.map { $0.joined(separator: "\n") + "\n" }.joined(separator: "\n")
    }

    /// What came out of the gates, and what followed from it.
    private func gateLines(width: Int, styled: Bool) -> [String] {
        var lines = gates.flatMap { result -> [String] in
            let lines = TerminalText.wrapped(result.text(), width: width)
            guard styled else { return lines }
            return lines.map { (result.hasPassed ? TerminalText.Style.green : .red).applied(to: $0) }
        }
        if isDiscarded {
            let what = outputs.count == 1 ? "The output was" : "The outputs were"
            lines += TerminalText.wrapped(
                "\(what) not put in place; \"on_failure\": \"keep\" would keep what fails a gate.", width: width)
        }
        return lines
    }

    /// The adapters that took part and the facts of the run.
    private func closingLines(width: Int) -> [String] {
        var lines: [String] = []
        for adapter in adapters {
            lines += TerminalText.wrapped(adapter.text, width: width, label: "adapter  ")
        }
        if let run {
            lines += TerminalText.wrapped(run.texts.joined(separator: ", "), width: width, label: "run      ")
        }
        return lines
    }
}

extension OutputReport {
    /// - Parameter closing: Lines that go with the summary.
    fileprivate func paragraphs(closing: [String], width: Int, rows: Int, styled: Bool) -> [[String]] {
        let title = TerminalText.wrapped("\(path) (\(format))", width: width)
        let table = TensorTable(of: self).lines(width: width, rows: rows, styled: styled)
        let text = TerminalText.wrapped(verdict.text, width: width)
        return [
            styled ? title.map(TerminalText.Style.bold.applied) : title,
            table,
            summaryLines(width: width) + closing,
            styled ? text.map { verdict.outcome.style?.applied(to: $0) ?? $0 } : text,
        ].filter { !$0.isEmpty }
    }

    private func summaryLines(width: Int) -> [String] {
        var lines: [String] = []
        func add(_ label: String, _ parts: [String?]) {
            let text = parts.compactMap(\.self).joined(separator: ", ")
            guard !text.isEmpty else { return }
            let label = TerminalText.padded(label, to: 9, alignment: .left)
            lines += TerminalText.wrapped(text, width: width, label: label)
        }
        let summary = self.summary
        add(
            "tensors",
            [
                "\(summary.converted) converted\(roundingText)",
                summary.untouched > 0 ? "\(summary.untouched) copied unchanged" : nil,
            ])
        add(
            "size",
            [
                "\(NumberText.count(summary.after.elements)) weights",
                change(NumberText.bytes(summary.before.bytes), NumberText.bytes(summary.after.bytes)),
                bitsText(summary.before.bitsPerWeight, summary.after.bitsPerWeight, "bits a weight"),
                bitsText(summary.fourBitBefore.bitsPerWeight, summary.fourBitAfter.bitsPerWeight, "in 4-bit tensors"),
            ])
        if summary.converted > 0 {
            add(
                "error",
                [
                    summary.overall.relativeError.map { "\(NumberText.percent($0)) overall" },
                    summary.medianRelativeError.map { "\(NumberText.percent($0)) median" },
                    summary.worstRelativeError.map { "at most \(NumberText.percent($0.value)) in \($0.tensor)" },
                ])
        }
        add(
            "update",
            [
                summary.overall.updateRatio.map { "\(NumberText.percent($0)) of the weights' norm" },
                summary.overall.updateKept.map { "\(NumberText.percentCutOff($0)) kept" },
                summary.overall.updateKept == nil
                    ? nil : summary.codesChangedShare.map { "\(NumberText.percent($0)) of the codes changed" },
                summary.worstUpdateKept.map { "least kept \(NumberText.percentCutOff($0.value)) in \($0.tensor)" },
            ])
        return lines
    }

    private var roundingText: String {
        let counts = [
            summary.roundedStochastically > 0 ? "\(summary.roundedStochastically) stochastic" : nil,
            summary.roundedNearest > 0 ? "\(summary.roundedNearest) nearest" : nil,
        ].compactMap(\.self)
        return counts.isEmpty ? "" : " (rounding: \(counts.joined(separator: ", ")))"
    }

    private func change(_ before: String, _ after: String) -> String {
        before == after ? before : "\(before) → \(after)"
    }

    private func bitsText(_ before: Double?, _ after: Double?, _ unit: String) -> String? {
        let before = before.map { NumberText.fixed($0, decimals: 2) }
        let after = after.map { NumberText.fixed($0, decimals: 2) }
        guard let known = before ?? after else { return nil }
        return change(before ?? known, after ?? known) + " " + unit
    }
}

extension Verdict.Outcome {
    fileprivate var style: TerminalText.Style? {
        switch self {
        case .untouched, .converted: nil
        case .survived: .green
        case .thinned: .yellow
        case .erased: .red
        }
    }
}

extension RunFacts {
    /// `0.31 s`, `peak memory 58.3 MiB`, `2 threads`, `12 % reading`, …
    var texts: [String] {
        var texts = [NumberText.duration(seconds: seconds)]
        if let peakMemoryBytes { texts.append("peak memory \(NumberText.memory(peakMemoryBytes))") }
        texts.append(counted(threads, "thread"))
        if let shares {
            let parts = [("reading", shares.read), ("computing", shares.compute), ("writing", shares.write)]
            texts += parts.map { "\(NumberText.fixed($0.1 * 100, decimals: 0)) % \($0.0)" }
        }
        return texts
    }
}
