/// Looks through a regular expression for what a backtracking matcher can take for ever over: a repeated group that itself
/// repeats something or leaves a choice, as `(a+)+` and `(a|a)*`.
///
/// Each repetition can then divide the same text in many ways, and all divisions of all repetitions are tried. Scanned is
/// Swift's syntax, of which Python's is a part as far as both can read an expression; what is doubtful counts as repetition.
struct RepetitionScanner {
    /// More than any module path has characters.
    private static let maximumCount = 1000

    private let expression: [Unicode.Scalar]
    private var position = 0
    /// For each open group, outermost first, whether it repeats something or leaves a choice so far.
    private var groups = [false]

    private init(_ expression: String) {
        self.expression = Array(expression.unicodeScalars)
    }

    /// Whether an expression repeats a group that repeats something itself or leaves a choice.
    static func findsNesting(in expression: String) -> Bool {
        var scanner = RepetitionScanner(expression)
        return scanner.scan()
    }

    private mutating func scan() -> Bool {
        while let scalar = next() {
            switch scalar {
            case "\\":
                // A quotation may hide anything; Python has none.
                if next() == "Q" { return true }
                if repetition() == .tooOften { return true }
            case "[":
                skipClass()
                if repetition() == .tooOften { return true }
            case "(":
                if !openGroup() { return true }
            case ")":
                guard groups.count > 1, let isVaried = groups.popLast() else { return true }
                let repetition = repetition()
                if repetition == .tooOften || (isVaried && repetition == .often) { return true }
                if isVaried { groups[groups.count - 1] = true }
            case "|": groups[groups.count - 1] = true
            default:
                if repetition() == .tooOften { return true }
            }
        }
        // What is not closed was not understood.
        return groups.count > 1
    }

    private mutating func next() -> Unicode.Scalar? {
        guard position < expression.count else { return nil }
        defer { position += 1 }
        return expression[position]
    }

    private var upcoming: Unicode.Scalar? { position < expression.count ? expression[position] : nil }

    /// Goes into a group.
    ///
    /// - Returns: Whether the rest can be understood: free spacing has comments, in which brackets mean nothing.
    private mutating func openGroup() -> Bool {
        guard upcoming == "?" else {
            groups.append(false)
            return true
        }
        position += 1
        if upcoming == "#" {
            while let scalar = next(), scalar != ")" {}
            return true
        }
        groups.append(false)
        let flags = expression[position...].prefix { $0 == "-" || $0 == "^" || $0.properties.isAlphabetic }
        let end = position + flags.count
        guard end < expression.count, expression[end] == ":" || expression[end] == ")" else { return true }
        return !flags.contains("x")
    }

    /// Goes behind a class of characters, which may have others inside.
    private mutating func skipClass() {
        var depth = 1
        while depth > 0, let scalar = next() {
            switch scalar {
            case "\\": position += 1
            case "[": depth += 1
            case "]": depth -= 1
            default: continue
            }
        }
    }

    // MARK: - Quantifiers

    private enum Repetition {
        case none
        /// Once at most.
        case optional
        case often
        case tooOften
    }

    /// Goes behind the quantifier of what came last, if it has one.
    private mutating func repetition() -> Repetition {
        let repetition: Repetition
        switch upcoming {
        case "*", "+":
            position += 1
            repetition = .often
        case "?":
            position += 1
            repetition = .optional
        case "{":
            let inside = expression[(position + 1)...].prefix { $0 == "," || $0 == " " || ("0"..."9").contains($0) }
            let end = position + 1 + inside.count
            // Else it is a character like any other.
            guard !inside.isEmpty, end < expression.count, expression[end] == "}" else { return .none }
            position = end + 1
            repetition = RepetitionScanner.repetition(counts: inside)
        default: return .none
        }
        // Reluctant or possessive.
        if upcoming == "?" || upcoming == "+" { position += 1 }
        groups[groups.count - 1] = true
        return repetition
    }

    /// What `n`, `n,` or `n,m` in braces means.
    private static func repetition(counts: ArraySlice<Unicode.Scalar>) -> Repetition {
        let bounds = counts.split(separator: ",", omittingEmptySubsequences: false).map { digits in
            String(String.UnicodeScalarView(digits.filter { $0 != " " }))
        }
        guard bounds.allSatisfy({ $0.isEmpty || (Int($0) ?? .max) <= maximumCount }) else { return .tooOften }
        return bounds.last.flatMap { Int($0) }.map { $0 <= 1 } ?? false ? .optional : .often
    }
}
