import LosslessJSON
import Reports
import Tensors

extension ModelDifference {
    /// The comparison as a person reads it in a terminal: the two models, what only headers tell, the tensors that differ,
    /// a few lines about all of them, and what to conclude.
    ///
    /// - Parameters:
    ///   - width: Characters a line, at least 40.
    ///   - styled: Whether to use ANSI colours; only for a terminal.
    public func terminalText(
        width: Int = 80, styled: Bool = false, table options: DifferenceTableOptions = DifferenceTableOptions()
    ) -> String {
        let width = max(TerminalText.minimumWidth, width)
        let conclusion = TerminalText.wrapped(verdict.text, width: width)
        let paragraphs = [
            sideLines(width: width),
            headerLines(width: width, all: options.all),
            DifferenceTable(tensors, options).lines(width: width, styled: styled),
            summaryLines(width: width),
            styled ? conclusion.map { style?.applied(to: $0) ?? $0 } : conclusion,
            gates.flatMap { result -> [String] in
                let lines = TerminalText.wrapped(result.text(), width: width)
                guard styled else { return lines }
                return lines.map { (result.hasPassed ? TerminalText.Style.green : .red).applied(to: $0) }
            },
        ]
        return paragraphs.filter { !$0.isEmpty }.map { $0.joined(separator: "\n") + "\n" }.joined(separator: "\n")
    }

    private var style: TerminalText.Style? {
        if let kept = summary.overall.updateKept {
            return kept < UpdateSurvival.erasedBelow ? .red : kept < UpdateSurvival.thinnedBelow ? .yellow : .green
        }
        return verdict.outcome == .different ? .yellow : .green
    }

    /// Lines with a label of one width, which leaves a space after the longest, "only in a".
    private func labelled(_ label: String, _ text: String, width: Int) -> [String] {
        TerminalText.wrapped(text, width: width, label: TerminalText.padded(label, to: 10, alignment: .left))
    }

    private func sideLines(width: Int) -> [String] {
        let sides = labelled("a", a.text, width: width) + labelled("b", b.text, width: width)
        guard let adapter else { return sides }
        return sides
            + labelled("adapter", adapter.text, width: width)
    }

    // MARK: - What headers tell

    private func headerLines(width: Int, all: Bool) -> [String] {
        func list(_ label: String, _ outcome: TensorDifference.Outcome, _ text: (LayerGroup) -> String) -> [String] {
            let matching = tensors.filter { $0.outcome == outcome }
            let groups = all ? LayerGroup.each(matching) : LayerGroup.grouped(matching)
            let limit = all ? groups.count : 8
            var lines = groups.prefix(limit).map(text)
            if groups.count > limit { lines.append("… and \(groups.count - limit) more (--all)") }
            return lines.enumerated().flatMap { index, line in
                labelled(index == 0 ? label : "", line, width: width)
            }
        }
        func described(_ group: LayerGroup, _ tensor: LogicalTensor?) -> String {
            guard let tensor else { return group.name }
            let count = group.tensors.count > 1 ? ", \(group.tensors.count) tensors" : ""
            return "\(group.name) \(shapeText(tensor.shape)) \(tensor.encoding.label)\(count)"
        }
        return list("only in a", .onlyInA) { described($0, $0.tensors.first?.a) }
            + list("only in b", .onlyInB) { described($0, $0.tensors.first?.b) }
            + list("shape", .shapesDiffer) { group in
                let before = shapeText(group.tensors.first?.a?.shape ?? [])
                let after = shapeText(group.tensors.first?.b?.shape ?? [])
                return "\(group.name) \(before) → \(after)"
            }
            + list("dtype", .notComparable) { group in
                "\(group.name) \(group.tensors.first.map(DifferenceTable.storage) ?? "")"
            }
            + changeLines("config", configurationChanges, width: width, all: all)
            + changeLines("metadata", metadataChanges, width: width, all: all)
    }

    private func shapeText(_ shape: [Int]) -> String { "[\(shape.map(String.init).joined(separator: "×"))]" }

    private func changeLines(_ label: String, _ changes: [ConfigurationChange], width: Int, all: Bool) -> [String] {
        let limit = all ? changes.count : 6
        var lines = changes.prefix(limit).map { change in
            func text(_ value: JSONValue?) -> String {
                let text = value?.serialized(.pythonOneLine) ?? "(none)"
                return all || text.count <= 40 ? text : text.prefix(39) + "…"
            }
            return "\(change.key): \(text(change.a)) → \(text(change.b))"
        }
        if changes.count > limit { lines.append("… and \(changes.count - limit) more (--all)") }
        return lines.enumerated().flatMap { labelled($0.offset == 0 ? label : "", $0.element, width: width) }
    }

    // MARK: - All tensors together

    private func summaryLines(width: Int) -> [String] {
        func count(_ outcome: TensorDifference.Outcome, _ text: String) -> String? {
            let count = summary.count(outcome)
            return count == 0 ? nil : "\(count) \(text)"
        }
        var lines: [String] = []
        func add(_ label: String, _ parts: [String?]) {
            let text = parts.compactMap(\.self).joined(separator: ", ")
            if !text.isEmpty { lines += labelled(label, text, width: width) }
        }
        add(
            "tensors",
            [
                count(.identical, "identical"), count(.equal, "equal"), count(.different, "different"),
                summary.tolerated > 0 ? "\(summary.tolerated) of them tolerated" : nil,
                count(.shapesDiffer, "of another shape"), count(.notComparable, "not comparable"),
                count(.onlyInA, "only in a"), count(.onlyInB, "only in b"),
            ])
        if summary.count(.different) > 0 {
            add(
                "error",
                [
                    summary.overall.relativeError.map { "\(NumberText.percent($0)) overall" },
                    summary.overall.rmse.map { "rmse \(NumberText.significant($0, digits: 3))" },
                    distribution.map { found in
                        let parts = [found.median, found.percentile95, found.percentile999].map {
                            NumberText.significant($0, digits: 3)
                        }
                        return "|b-a| at 50 / 95 / 99.9 %: \(parts.joined(separator: " / "))"
                    },
                    summary.overall.maxAbsError.map { "at most \(NumberText.significant($0, digits: 3))" },
                ])
            add(
                "changed",
                [
                    "\(NumberText.count(summary.counts.changed)) of \(NumberText.count(summary.elements)) values",
                    summary.codesChangedShare.map { "\(NumberText.percent($0)) of the codes" },
                    summary.scalesChangedShare.map { "\(NumberText.percent($0)) of the scales" },
                ])
        }
        let found = summary.counts
        if found.nanA + found.nanB + found.infiniteA + found.infiniteB > 0 {
            add(
                "nan, inf",
                [
                    "\(found.nanA) NaN and \(found.infiniteA) infinite in a",
                    "\(found.nanB) NaN and \(found.infiniteB) infinite in b",
                ])
        }
        if adapter != nil {
            add(
                "update",
                [
                    summary.overall.updateRatio.map { "\(NumberText.percent($0)) of the weights' norm" },
                    summary.medianUpdateToStep.map { "\(NumberText.significant($0, digits: 2)) of a 4-bit step" },
                    summary.overall.updateKept.map { "\(NumberText.percentCutOff($0)) kept" },
                    "\(summary.kept) tensors kept it, \(summary.thinned) thinned, \(summary.erased) erased",
                ])
        }
        if let run {
            add("run", [run.text(bytes: a.bytes + b.bytes)])
        }
        return lines
    }
}

extension ModelSide {
    /// The path and what is there, in a line.
    var text: String {
        let shares = encodings.prefix(4).map { share -> String in
            guard encodings.count > 1, elements > 0 else { return share.label }
            return "\(NumberText.percent(Double(share.elements) / Double(elements))) \(share.label)"
        }
        let facts =
            [counted(tensors, "tensor"), "\(NumberText.count(elements)) weights", NumberText.bytes(bytes)] + shares
        let adapters =
            containedAdapters.isEmpty
            ? ""
            : "; in it, not merged: \(containedAdapters.count == 1 ? "the adapter" : "the adapters") \(containedAdapters.joined(separator: ", "))"
        return "\(path): " + facts.joined(separator: ", ") + adapters
    }
}

extension RunFacts {
    /// The time, the rate for so many bytes, memory and threads.
    func text(bytes: Int) -> String {
        var facts = [NumberText.duration(seconds: seconds)]
        if seconds > 0 { facts.append("\(NumberText.bytes(Int(Double(bytes) / seconds)))/s") }
        if let peak = peakMemoryBytes { facts.append("peak memory \(NumberText.memory(peak))") }
        facts.append(counted(threads, "thread"))
        return facts.joined(separator: ", ")
    }
}
