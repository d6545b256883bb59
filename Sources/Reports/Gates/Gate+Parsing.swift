extension Gate {
    /// Reads a condition: a figure, a comparison (`<`, `<=`, `>`, `>=`, `==`, `!=`) and a number, which may be a percentage.
    ///
    /// - Parameters:
    ///   - tensorFigures: The figures that a tensor of the report can have.
    ///   - overallFigures: Those that all together can have, counts included.
    /// - Throws: ``GateError`` saying what would be right.
    public init(
        parsing text: String, sense: Sense, tensorFigures: [String], overallFigures: [String]
    ) throws(GateError) {
        func problem(_ problem: String) -> GateError { GateError(text: text, problem: problem) }
        let form = "write a figure, a comparison and a number, such as 'relative_error > 0.05' or 'update_kept < 90%'"
        guard let (left, comparison, right) = Gate.split(text) else { throw problem("is no condition; \(form)") }
        guard let limit = Gate.number(right) else {
            throw problem("\"\(right)\" is no number; \(form)")
        }
        let isOverall = left.hasPrefix(Gate.overallPrefix)
        let figure = isOverall ? String(left.dropFirst(Gate.overallPrefix.count)) : left
        if !isOverall, tensorFigures.contains(figure) {
            scope = .tensor
        } else if overallFigures.contains(figure) {
            scope = .overall
        } else {
            let known =
                isOverall ? overallFigures : tensorFigures + overallFigures.filter { !tensorFigures.contains($0) }
            throw problem("there is no figure \"\(left)\"; there are \(known.joined(separator: ", "))")
        }
        self.text = text
        self.sense = sense
        self.figure = figure
        self.comparison = comparison
        self.limit = limit
    }

    private static let overallPrefix = "overall."

    private static func split(_ text: String) -> (left: String, comparison: Comparison, right: String)? {
        let signs: Set<Character> = ["<", ">", "=", "!"]
        guard let start = text.firstIndex(where: signs.contains) else { return nil }
        let end = text[start...].firstIndex { !signs.contains($0) } ?? text.endIndex
        let left = trimmed(text[..<start])
        let right = trimmed(text[end...])
        guard let comparison = Comparison(rawValue: String(text[start..<end])), !left.isEmpty else { return nil }
        return (left, comparison, right)
    }

    private static func number(_ text: String) -> Double? {
        let isPercentage = text.hasSuffix("%")
        guard let value = Double(trimmed(isPercentage ? text.dropLast() : text[...])), value.isFinite else {
            return nil
        }
        return isPercentage ? value / 100 : value
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }
}
