import Reports
import Tensors

/// The modules of a merge, like layers with like outcomes together.
struct ExplanationTable {
    private let groups: [[TensorExplanation]]
    private let limit: Int

    /// - Parameter all: Every tensor in a line of its own, also those that the adapter leaves alone.
    init(_ tensors: [TensorExplanation], all: Bool) {
        let listed = tensors.filter { all || $0.module != nil || !$0.outcome.isRight }
        limit = all ? Int.max : 24
        guard !all else {
            groups = listed.map { [$0] }
            return
        }
        struct Key: Hashable {
            let pattern: String
            let outcome: MergeOutcome
            let storage: String
            let scaling: Double?
        }
        var members: [Key: [TensorExplanation]] = [:]
        var order: [Key] = []
        for tensor in listed {
            let key = Key(
                pattern: LayerNames.pattern(of: tensor.name), outcome: tensor.outcome, storage: tensor.storage,
                scaling: tensor.configuredScaling)
            if members[key] == nil { order.append(key) }
            members[key, default: []].append(tensor)
        }
        // What is wrong first.
        let sorted = order.filter { !$0.outcome.isRight } + order.filter(\.outcome.isRight)
        groups = sorted.compactMap { members[$0] }
    }

    func lines(width: Int, styled: Bool) -> [String] {
        let listed = Array(groups.prefix(limit))
        guard !listed.isEmpty else { return [] }
        let names = listed.map { group in LayerNames.common(group.map { $0.module?.name ?? $0.name }) }
        let areModules = listed.allSatisfy { $0.first?.module != nil }
        let table = FittedTable(
            nameTitle: areModules ? "module" : "tensor", names: names, columns: ExplanationTable.columns(listed))
        var lines = table.lines(width: width, nameRoom: 36, styled: styled)
        if groups.count > listed.count { lines.append("… and \(groups.count - listed.count) more lines (--all)") }
        return lines
    }

    private static func columns(_ groups: [[TensorExplanation]]) -> [FittedTable.Column] {
        func column(
            _ title: String, rank: Int, alignment: TerminalText.Alignment = .right,
            missing: String = NumberText.missing,
            _ text: ([TensorExplanation]) -> String?
        ) -> FittedTable.Column {
            FittedTable.Column(
                title, alignment: alignment, rank: rank, missing: missing,
                cells: groups.map { text($0).map { FittedTable.Cell($0) } })
        }
        let areGrouped = groups.contains { $0.count > 1 }
        return [
            column("layers", rank: 3, missing: "") { areGrouped ? String($0.count) : nil },
            column("stored as", rank: 6, alignment: .left) { $0.first?.storage },
            column("update", rank: 5) { range($0, \.updateRatio, NumberText.percent) },
            column("configured", rank: 2) { range($0, \.configuredScaling, scalingText) },
            column("applied", rank: 1) { range($0, \.appliedScaling, scalingText) },
            column("±", rank: 7) { group in
                group.compactMap { tensor in
                    tensor.configuredScaling.flatMap { scaling in tensor.fit.map { $0.standardError * abs(scaling) } }
                }.max().map { NumberText.significant($0, digits: 2) }
            },
            column("R²", rank: 4) { group in
                group.compactMap { ($0.otherFit ?? $0.fit)?.share }.min().map { NumberText.fixed($0, decimals: 4) }
            },
            FittedTable.Column(
                "", alignment: .left, rank: 0, missing: "",
                cells: groups.map { group in
                    group.first.map {
                        FittedTable.Cell(text(group), style: $0.outcome.isRight ? .green : $0.outcome.style)
                    }
                }),
        ]
    }

    private static func scalingText(_ value: Double) -> String { NumberText.significant(value, digits: 4) }

    /// One number, or the smallest and the largest where they read differently.
    private static func range(
        _ group: [TensorExplanation], _ figure: (TensorExplanation) -> Double?, _ text: (Double) -> String
    ) -> String? {
        let values = group.compactMap(figure)
        guard let low = values.min(), let high = values.max() else { return nil }
        return text(low) == text(high) ? text(low) : "\(text(low)) to \(text(high))"
    }

    private static func text(_ group: [TensorExplanation]) -> String {
        guard let first = group.first else { return "" }
        switch first.outcome {
        case .scaled:
            return "scaled ×" + (range(group, \.fit?.ratio) { NumberText.significant($0, digits: 3) } ?? "")
        case .otherModule:
            let names = group.compactMap(\.otherModule)
            return "update of " + LayerNames.listed(names, limit: 1)
        default: return first.outcome.label
        }
    }
}

extension MergeOutcome {
    fileprivate var style: TerminalText.Style { self == .undecided || self == .thinned ? .yellow : .red }
}

extension TensorExplanation {
    /// How both sides store the tensor: `nf4`, `bf16 → nf4+dq`.
    var storage: String {
        guard let before = base?.encoding.label, let after = merged?.encoding.label else {
            return (base ?? merged)?.encoding.label ?? ""
        }
        return before == after ? before : "\(before) → \(after)"
    }
}
