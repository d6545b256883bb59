import Tensors

/// A table of the worst tensors of an output, as wide as a terminal allows.
///
/// The name comes first; of the figures, the most telling ones that leave it enough room. A figure that no tensor has
/// gets no column.
struct TensorTable {
    private struct Column: Sendable {
        let title: String
        var alignment = TerminalText.Alignment.right
        /// Columns of a higher rank give way first.
        let rank: Int
        let text: @Sendable (TensorReport) -> String?
        var style: @Sendable (TensorReport) -> TerminalText.Style? = { _ in nil }
    }

    /// In the order in which they stand.
    private static let columns = [
        Column(title: "stored as", alignment: .left, rank: 6) { tensor in
            tensor.before.label == tensor.after.label
                ? tensor.after.label : "\(tensor.before.label) → \(tensor.after.label)"
        },
        Column(title: "error", rank: 1) { $0.figures.relativeError.map(NumberText.percent) },
        Column(title: "SQNR dB", rank: 5) { tensor in
            tensor.figures.sqnrDecibels.map { $0.isFinite ? NumberText.fixed($0, decimals: 1) : "exact" }
        },
        Column(title: "update", rank: 4) { $0.figures.updateRatio.map(NumberText.percent) },
        Column(title: "changed", rank: 2) { $0.codesChangedShare.map(NumberText.percent) },
        Column(title: "kept", rank: 0) {
            $0.figures.updateKept.map { NumberText.percentCutOff($0, trimmed: false) }
        } style: {
            $0.figures.updateKept.flatMap(survivalStyle)
        },
        Column(title: "rounding", alignment: .left, rank: 3) { $0.rounding?.rawValue },
    ]

    /// How a share of an update that was kept is emphasized.
    static func survivalStyle(_ kept: Double) -> TerminalText.Style? {
        kept < UpdateSurvival.erasedBelow ? .red : kept < UpdateSurvival.thinnedBelow ? .yellow : nil
    }

    let tensors: [TensorReport]

    /// The converted tensors, the worst first: those that kept least of their update, then those with the largest error,
    /// then in the order of their names' bytes.
    ///
    /// Weight error alone would put a merge that erased everything last: it is the one that changes least.
    init(of output: OutputReport) {
        tensors = output.tensors.filter { !$0.isUntouched }.sorted { left, right in
            let keptLeft = left.figures.updateKept ?? .infinity
            let keptRight = right.figures.updateKept ?? .infinity
            if keptLeft != keptRight { return keptLeft < keptRight }
            let errorLeft = left.figures.relativeError ?? -1
            let errorRight = right.figures.relativeError ?? -1
            if errorLeft != errorRight { return errorLeft > errorRight }
            return left.name.precedesByBytes(right.name)
        }
    }

    /// The header and at most `rows` tensors, with a last line that counts the others.
    func lines(width: Int, rows: Int, styled: Bool) -> [String] {
        let listed = tensors.prefix(max(0, rows))
        guard !listed.isEmpty else { return [] }
        // Where all are weights, the modules' names say as much in less room.
        let suffix = ".weight"
        let areWeights = listed.allSatisfy { $0.name.hasSuffix(suffix) && $0.name.count > suffix.count }
        let table = FittedTable(
            nameTitle: areWeights ? "module" : "tensor",
            names: listed.map { areWeights ? String($0.name.dropLast(suffix.count)) : $0.name },
            columns: TensorTable.columns.map { column in
                FittedTable.Column(
                    column.title, alignment: column.alignment, rank: column.rank,
                    cells: listed.map { tensor in
                        column.text(tensor).map { FittedTable.Cell($0, style: column.style(tensor)) }
                    })
            })
        var lines = table.lines(width: width, styled: styled)
        if tensors.count > listed.count { lines.append("… and \(tensors.count - listed.count) more") }
        return lines
    }
}
