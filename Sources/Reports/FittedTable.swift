/// A table as wide as a terminal allows: names, and of the other columns the most telling ones that leave the names enough
/// room. A column without a single cell is left out.
package struct FittedTable {
    private static let gap = 2

    package struct Cell: Hashable, Sendable {
        package let text: String
        package let style: TerminalText.Style?

        package init(_ text: String, style: TerminalText.Style? = nil) {
            self.text = text
            self.style = style
        }
    }

    package struct Column: Sendable {
        package let title: String
        package let alignment: TerminalText.Alignment
        /// Columns of a higher rank give way first.
        package let rank: Int
        /// What stands where a row has no cell.
        package let missing: String
        /// One a row.
        package let cells: [Cell?]

        package init(
            _ title: String, alignment: TerminalText.Alignment = .right, rank: Int,
            missing: String = NumberText.missing, cells: [Cell?]
        ) {
            self.title = title
            self.alignment = alignment
            self.rank = rank
            self.missing = missing
            self.cells = cells
        }

        /// `nil` when there is nothing to show.
        fileprivate var width: Int? {
            let widths = cells.compactMap { $0?.text.count }
            return widths.max().map { max(title.count, $0) }
        }
    }

    private let nameTitle: String
    private let names: [String]
    /// In the order in which they stand.
    private let columns: [Column]

    package init(nameTitle: String, names: [String], columns: [Column]) {
        self.nameTitle = nameTitle
        self.names = names.map(TerminalText.printable)
        self.columns = columns
    }

    /// The header and the rows.
    ///
    /// - Parameter nameRoom: A name this long is not made shorter to win room for another column.
    package func lines(width: Int, nameRoom: Int = 32, styled: Bool) -> [String] {
        guard !names.isEmpty else { return [] }
        let longest = max(nameTitle.count, names.map(\.count).max() ?? 0)
        // Every column is as wide as its widest cell; take them by rank while the name has room.
        let widths = columns.map(\.width)
        var room = width
        var chosen: Set<Int> = []
        for index in columns.indices.sorted(by: { columns[$0].rank < columns[$1].rank }) {
            guard let columnWidth = widths[index] else { continue }
            guard room - columnWidth - FittedTable.gap >= min(longest, nameRoom) else { break }
            room -= columnWidth + FittedTable.gap
            chosen.insert(index)
        }
        let nameWidth = min(longest, room)

        func line(name: String, cell: (Column) -> Cell) -> String {
            var line = TerminalText.padded(TerminalText.shortened(name, to: nameWidth), to: nameWidth, alignment: .left)
            for (index, column) in columns.enumerated() where chosen.contains(index) {
                let cell = cell(column)
                let padded = TerminalText.padded(cell.text, to: widths[index] ?? 0, alignment: column.alignment)
                line += String(repeating: " ", count: FittedTable.gap)
                line += cell.style.map { styled ? $0.applied(to: padded) : padded } ?? padded
            }
            while line.last == " " { line.removeLast() }
            return line
        }

        let header = line(name: nameTitle) { Cell($0.title) }
        return [styled ? TerminalText.Style.bold.applied(to: header) : header]
            + names.enumerated().map { row, name in line(name: name) { $0.cells[row] ?? Cell($0.missing) } }
    }
}
