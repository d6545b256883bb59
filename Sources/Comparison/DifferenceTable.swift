import Reports
import Tensors

/// What a table of differences shows, and in which order.
public struct DifferenceTableOptions: Hashable, Sendable {
    public enum Order: String, CaseIterable, Hashable, Sendable {
        /// What kept least of an update first, then the largest relative error.
        case worst
        case error
        case max
        case changed
        case kept
        case name
        /// The order of the models.
        case model
    }

    /// Every tensor in a line of its own, also those that are the same.
    public var all = false
    /// The most lines; `nil` for no limit.
    public var top: Int?
    public var order = Order.worst

    public init() {}
}

/// The tensors that differ, like layers together.
struct DifferenceTable {
    private let groups: [LayerGroup]
    private let limit: Int

    init(_ tensors: [TensorDifference], _ options: DifferenceTableOptions) {
        let listed = tensors.filter { options.all || $0.outcome == .different }
        let groups = options.all ? LayerGroup.each(listed) : LayerGroup.grouped(listed)
        self.groups = DifferenceTable.sorted(groups, options.order)
        limit = options.top ?? (options.all ? Int.max : 24)
    }

    private static func sorted(_ groups: [LayerGroup], _ order: DifferenceTableOptions.Order) -> [LayerGroup] {
        /// Larger values first.
        func descending(_ value: (LayerGroup) -> Double) -> [LayerGroup] {
            let keyed = groups.map { (value($0), $0.name, $0) }
            return keyed.sorted { left, right in
                left.0 != right.0 ? left.0 > right.0 : left.1.precedesByBytes(right.1)
            }.map(\.2)
        }
        return switch order {
        case .model: groups
        case .name: descending { _ in 0 }
        case .error: descending { $0.error ?? -1 }
        case .max: descending { $0.figures.maxAbsError ?? -1 }
        case .changed: descending { $0.changedShare ?? -1 }
        case .kept: descending { -($0.figures.updateKept ?? .infinity) }
        case .worst:
            // The error is at most 1 or so; whatever kept less than another comes before it.
            descending { group in
                group.figures.updateKept.map { 1e6 - $0 } ?? (group.error ?? -1)
            }
        }
    }

    func lines(width: Int, styled: Bool) -> [String] {
        let listed = Array(groups.prefix(limit))
        guard !listed.isEmpty else { return [] }
        let names = DifferenceTable.withoutWrapper(listed.map(\.name))
        // Where all are weights, the modules' names say as much in less room.
        let suffix = ".weight"
        let areWeights = names.allSatisfy { $0.hasSuffix(suffix) && $0.count > suffix.count }
        let table = FittedTable(
            nameTitle: areWeights ? "module" : "tensor",
            names: areWeights ? names.map { String($0.dropLast(suffix.count)) } : names,
            columns: DifferenceTable.columns(listed))
        var lines = table.lines(width: width, nameRoom: 40, styled: styled)
        if groups.count > listed.count { lines.append("… and \(groups.count - listed.count) more lines (--top)") }
        return lines
    }

    /// The names without the prefix that PEFT puts before all of an adapter's.
    private static func withoutWrapper(_ names: [String]) -> [String] {
        let prefix = "base_model.model."
        return names.allSatisfy { $0.hasPrefix(prefix) } ? names.map { String($0.dropFirst(prefix.count)) } : names
    }

    private static func columns(_ groups: [LayerGroup]) -> [FittedTable.Column] {
        func column(
            _ title: String, rank: Int, alignment: TerminalText.Alignment = .right,
            _ text: (LayerGroup) -> String?
        ) -> FittedTable.Column {
            FittedTable.Column(
                title, alignment: alignment, rank: rank, cells: groups.map { text($0).map { FittedTable.Cell($0) } })
        }
        let areGrouped = groups.contains { $0.tensors.count > 1 }
        let scale = groups.compactMap(\.figures.relativeError).max() ?? 0
        return [
            FittedTable.Column(
                "layers", rank: 3, missing: "",
                cells: groups.map { areGrouped ? FittedTable.Cell(String($0.tensors.count)) : nil }),
            column("stored as", rank: 6, alignment: .left) { $0.tensors.first.map(storage) },
            column("error", rank: 1) { group in
                switch group.tensors.first?.outcome {
                case .identical: "same"
                case .equal: "equal"
                case .onlyInA: "only a"
                case .onlyInB: "only b"
                case .shapesDiffer: "shape"
                case .notComparable: "dtype"
                default: group.figures.relativeError.map(NumberText.percent) ?? group.error.map { _ in "inf" }
                }
            },
            FittedTable.Column(
                "", alignment: .left, rank: 4, missing: "",
                cells: groups.map { group in
                    group.figures.relativeError.flatMap { scale > 0 ? FittedTable.Cell(bar($0 / scale)) : nil }
                }),
            areGrouped
                ? column("worst", rank: 7) { $0.largest(\.figures.relativeError).map(NumberText.percent) }
                : column("p99.9", rank: 8) {
                    $0.largest { $0.distribution?.percentile999 }.map { NumberText.significant($0, digits: 3) }
                },
            column("max |b-a|", rank: 9) {
                $0.figures.maxAbsError.map { NumberText.significant($0, digits: 3) }
            },
            column("changed", rank: 2) { $0.changedShare.map(NumberText.percent) },
            column("codes", rank: 5) { $0.codesChangedShare.map(NumberText.percent) },
            column("update/step", rank: 10) {
                $0.largest { $0.update?.updateToStep }.map { NumberText.significant($0, digits: 2) }
            },
            FittedTable.Column("kept", rank: 0, cells: groups.map(kept)),
        ]
    }

    /// The share of the update that is left, and its verdict where it is a bad one.
    private static func kept(_ group: LayerGroup) -> FittedTable.Cell? {
        guard let kept = group.figures.updateKept else { return nil }
        let text = NumberText.percentCutOff(kept, trimmed: false)
        if kept < UpdateSurvival.erasedBelow { return FittedTable.Cell(text + " erased", style: .red) }
        if kept < UpdateSurvival.thinnedBelow { return FittedTable.Cell(text + " thinned", style: .yellow) }
        return FittedTable.Cell(text + " kept", style: .green)
    }

    /// How both sides store a tensor: `nf4`, `bf16 → nf4+dq`.
    static func storage(_ tensor: TensorDifference) -> String {
        guard let a = tensor.a?.encoding, let b = tensor.b?.encoding else {
            return (tensor.a ?? tensor.b)?.encoding.label ?? ""
        }
        guard a.label == b.label else { return "\(a.label) → \(b.label)" }
        guard let left = a.blockQuantization?.blocksize, let right = b.blockQuantization?.blocksize, left != right
        else { return a.label }
        return "\(a.label)/\(left) → \(b.label)/\(right)"
    }

    /// A bar of at most eight characters, in eighths of one.
    private static func bar(_ share: Double) -> String {
        let eighths = Int((max(0, min(1, share)) * 64).rounded(.up))
        let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
        return String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
    }
}
