import Reports
import Tensors

extension AdapterLint {
    /// What lint found, as a person reads it in a terminal: the adapter, its modules, the findings, and what to conclude.
    ///
    /// - Parameters:
    ///   - width: Characters a line, at least 40.
    ///   - styled: Whether to use ANSI colours; only for a terminal.
    ///   - all: Every module and every finding in a line of its own.
    public func terminalText(width: Int = 80, styled: Bool = false, all: Bool = false) -> String {
        let width = max(TerminalText.minimumWidth, width)
        let style: TerminalText.Style = count(.error) > 0 ? .red : isClean ? .green : .yellow
        let conclusion = TerminalText.wrapped(conclusion, width: width)
        let paragraphs = [
            sideLines(width: width), replacementLines(width: width),
            moduleLines(width: width, styled: styled, all: all),
            findingLines(width: width, styled: styled, all: all),
            styled ? conclusion.map(style.applied) : conclusion,
        ]
        return paragraphs.filter { !$0.isEmpty }.map { $0.joined(separator: "\n") + "\n" }.joined(separator: "\n")
    }

    /// What to conclude, in plain sentences.
    public var conclusion: String {
        let errors = count(.error)
        let doubts = count(.doubtful)
        func codes(_ severity: LintCode.Severity) -> String {
            LintCode.allCases.filter { code in code.severity == severity && findings.contains { $0.code == code } }
                .map(\.rawValue).joined(separator: ", ")
        }
        guard errors == 0 else {
            let more =
                doubts == 0 ? "" : " Besides, \(counted(doubts, "finding")) \(doubts == 1 ? "is" : "are") doubtful."
            return "The adapter cannot be merged as it is: \(codes(.error)).\(more)"
        }
        guard doubts == 0 else {
            return "The adapter can be merged, but look at what is doubtful: \(codes(.doubtful))."
        }
        let fit = basePath == nil ? "" : ", and all modules fit the base"
        let values = readsValues ? "" : " The values were not read (--values)."
        return "Nothing is doubtful: \(counted(modules.count, "module"))\(scalingClause)\(fit).\(values)"
    }

    private var scalingClause: String {
        let scalings = modules.compactMap(\.scaling)
        guard let low = scalings.min(), let high = scalings.max() else { return "" }
        let texts = [low, high].map { NumberText.significant($0, digits: 4) }
        return texts[0] == texts[1] ? ", scaling \(texts[0])" : ", scalings from \(texts[0]) to \(texts[1])"
    }

    private func sideLines(width: Int) -> [String] {
        func labelled(_ label: String, _ text: String) -> [String] {
            TerminalText.wrapped(text, width: width, label: TerminalText.padded(label, to: 10, alignment: .left))
        }
        let facts =
            "\(counted(modules.count, "module")) in \(counted(tensorCount, "tensor")), \(NumberText.bytes(dataBytes))"
        return labelled("adapter", "\(path): \(facts)") + (basePath.map { labelled("base", "\($0)") } ?? [])
    }

    private func replacementLines(width: Int) -> [String] {
        replacements.compactMap(\.replacementText).flatMap { TerminalText.wrapped($0, width: width) }
    }

    // MARK: - Modules

    private func moduleLines(width: Int, styled: Bool, all: Bool) -> [String] {
        struct Key: Hashable {
            let pattern: String
            let facts: [String]
        }
        var members: [Key: [LintedModule]] = [:]
        var order: [Key] = []
        for module in modules {
            let key = Key(
                pattern: all ? module.module.name : LayerNames.pattern(of: module.module.name), facts: facts(of: module)
            )
            if members[key] == nil { order.append(key) }
            members[key, default: []].append(module)
        }
        let groups = order.compactMap { members[$0] }
        let limit = all ? groups.count : 24
        func column(
            _ title: String, rank: Int, alignment: TerminalText.Alignment = .right, _ text: ([LintedModule]) -> String?
        ) -> FittedTable.Column {
            FittedTable.Column(
                title, alignment: alignment, rank: rank, missing: "",
                cells: groups.prefix(limit).map { text($0).map { FittedTable.Cell($0) } })
        }
        var columns = [
            column("layers", rank: 4) { groups.contains { $0.count > 1 } ? String($0.count) : nil }
        ]
        for (index, title) in AdapterLint.columns.enumerated() {
            columns.append(
                column(title.name, rank: title.rank, alignment: title.alignment) { group in
                    group.first.map { facts(of: $0)[index] }.flatMap { $0.isEmpty ? nil : $0 }
                })
        }
        let table = FittedTable(
            nameTitle: "module", names: groups.prefix(limit).map { LayerNames.common($0.map(\.module.name)) },
            columns: columns)
        let more = groups.count > limit ? ["… and \(groups.count - limit) more lines (--all)"] : []
        return table.lines(width: width, nameRoom: 40, styled: styled) + more
    }

    private static let columns: [(name: String, rank: Int, alignment: TerminalText.Alignment)] = [
        ("weight", 3, .right), ("r", 1, .right), ("alpha", 5, .right), ("scaling", 0, .right), ("factors", 6, .left),
        ("with", 7, .left), ("base", 2, .left),
    ]

    private func facts(of module: LintedModule) -> [String] {
        [
            module.module.weightShape.map(String.init).joined(separator: "×"), String(module.rank),
            module.alpha.map { NumberText.significant($0, digits: 4) } ?? "",
            module.scaling.map { NumberText.significant($0, digits: 4) } ?? "", module.dtypeText,
            module.module.extras.joined(separator: ", "),
            basePath == nil ? "" : module.baseEncoding?.label ?? "does not fit",
        ]
    }

    // MARK: - Findings

    private func findingLines(width: Int, styled: Bool, all: Bool) -> [String] {
        /// Findings that differ by their layer alone.
        struct Key: Hashable {
            let code: LintCode
            let subject: String
            let message: [String]
        }
        var members: [Key: [LintFinding]] = [:]
        var order: [Key] = []
        for finding in findings {
            let key = Key(
                code: finding.code, subject: finding.subject.map(LayerNames.pattern) ?? "",
                message: finding.message.split(separator: " ").map { LayerNames.pattern(of: String($0)) })
            if members[key] == nil { order.append(key) }
            members[key, default: []].append(finding)
        }
        let groups = all ? findings.map { [$0] } : order.compactMap { members[$0] }
        return groups.flatMap { group -> [String] in
            guard let first = group.first else { return [] }
            let style: TerminalText.Style =
                switch first.severity {
                case .error: .red
                case .doubtful: .yellow
                case .note: .dim
                }
            let label = TerminalText.padded(first.severity.rawValue, to: 10, alignment: .left)
            let subject = first.subject == nil ? "" : " " + LayerNames.common(group.compactMap(\.subject)) + ":"
            let words = group.map {
                $0.message.split(separator: " ").map(String.init)
            }
            let message = (words.first ?? []).indices.map { place in
                LayerNames.common(Array(Set(words.map { $0[place] })).sorted())
            }.joined(separator: " ")
            let text = "\(first.code.rawValue):\(subject) \(message)"
            var lines = TerminalText.wrapped(text, width: width, label: label)
            if styled, let line = lines.first {
                lines[0] = style.applied(to: String(line.prefix(label.count))) + line.dropFirst(label.count)
            }
            return lines
        }
    }
}
