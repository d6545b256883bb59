/// A change of tensor names by a regular expression, written as in sed: `s/PATTERN/REPLACEMENT/`.
///
/// The first match in a name is replaced; with a final `g`, all of them. Any character may stand in for the slash. In the
/// replacement, `\1` to `\9` stand for what the groups matched, `\0` and `&` for the whole match.
public struct RenameRule: Sendable {
    /// The rule as it was written.
    public let text: String
    // Regex is not Sendable; the expression has been tried when the rule was made.
    private let pattern: String
    private let replacement: [Piece]
    private let isGlobal: Bool

    private enum Piece: Hashable, Sendable {
        case text(String)
        case group(Int)
    }

    /// - Throws: ``RenameRuleError`` for a text that is no such rule.
    public init(parsing text: String) throws(RenameRuleError) {
        func invalid(_ reason: String) -> RenameRuleError { RenameRuleError(text: text, reason: reason) }
        let characters = Array(text)
        guard characters.count > 1, characters[0] == "s" else { throw invalid("is no rule") }
        let delimiter = characters[1]
        guard delimiter != "\\", !delimiter.isLetter, !delimiter.isNumber else { throw invalid("is no rule") }
        var fields = [""]
        var index = 2
        while index < characters.count {
            let character = characters[index]
            if character == "\\", index + 1 < characters.count {
                // An escaped delimiter is the delimiter itself; every other escape is the expression's own.
                let next = characters[index + 1]
                fields[fields.count - 1] += next == delimiter ? String(next) : "\\" + String(next)
                index += 2
                continue
            }
            if character == delimiter { fields.append("") } else { fields[fields.count - 1].append(character) }
            index += 1
        }
        guard fields.count == 3 else { throw invalid("needs three \"\(delimiter)\"") }
        guard ["", "g"].contains(fields[2]) else { throw invalid("ends in \"\(fields[2])\", which is not known") }
        guard !fields[0].isEmpty else { throw invalid("has no pattern") }
        let groups: Int
        do {
            let regex = try Regex(fields[0])
            // Without a match there is no telling how many groups there are; an optional copy of the pattern matches
            // anything.
            groups = try Regex("(?:\(fields[0]))?").prefixMatch(in: "").map { $0.output.count - 1 } ?? 0
            _ = regex
        } catch {
            throw invalid("is no valid regular expression: \(error)")
        }
        self.text = text
        pattern = fields[0]
        replacement = RenameRule.pieces(of: fields[1])
        isGlobal = fields[2] == "g"
        for case .group(let group) in replacement where group > groups {
            throw invalid("\\\(group) stands for a group that the pattern does not have")
        }
    }

    private static func pieces(of text: String) -> [Piece] {
        var pieces: [Piece] = []
        var rest = text[...]
        func append(_ character: Character) {
            if case .text(let before) = pieces.last {
                pieces[pieces.count - 1] = .text(before + String(character))
            } else {
                pieces.append(.text(String(character)))
            }
        }
        while let character = rest.popFirst() {
            if character == "&" {
                pieces.append(.group(0))
            } else if character == "\\", let next = rest.popFirst() {
                if next.isASCII, let digit = next.wholeNumberValue {
                    pieces.append(.group(digit))
                } else {
                    append(next)
                }
            } else {
                append(character)
            }
        }
        return pieces
    }

    /// The names after the rule.
    public func applied(to names: [String]) -> [String] {
        guard let regex = try? Regex(pattern).matchingSemantics(.unicodeScalar) else { return names }
        return names.map { name in
            let matches = isGlobal ? name.matches(of: regex) : name.firstMatch(of: regex).map { [$0] } ?? []
            var result = ""
            var end = name.startIndex
            for match in matches {
                result += name[end..<match.range.lowerBound]
                for piece in replacement {
                    switch piece {
                    case .text(let text): result += text
                    case .group(0): result += name[match.range]
                    case .group(let group): result += match.output[group].substring ?? ""
                    }
                }
                end = match.range.upperBound
            }
            return result + name[end...]
        }
    }
}

/// A text that is no ``RenameRule``.
public struct RenameRuleError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The text.
    public let text: String
    /// What is wrong with it.
    public let reason: String

    public init(text: String, reason: String) {
        self.text = text
        self.reason = reason
    }

    public var description: String {
        "\"\(text)\": \(reason); write s/PATTERN/REPLACEMENT/, such as 's/^model\\.language_model\\./model./'"
    }
}
