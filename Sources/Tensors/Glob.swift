/// A shell-style pattern over tensor names: `*` any characters (dots too), `?` one character, `[abc]` or `[!abc]` one of
/// a set.
public struct Glob: Hashable, Sendable {
    public let pattern: String
    private let tokens: [Token]

    private enum Token: Hashable {
        case any
        case one
        case literal(Character)
        case set(Set<Character>, negated: Bool)
    }

    public init(_ pattern: String) {
        self.pattern = pattern
        var tokens: [Token] = []
        var rest = pattern[...]
        while let character = rest.popFirst() {
            switch character {
            case "*": tokens.append(.any)
            case "?": tokens.append(.one)
            case "[":
                guard let end = rest.dropFirst(rest.first == "!" ? 2 : 1).firstIndex(of: "]") else {
                    tokens.append(.literal("["))  // unclosed: the character itself, as in a shell
                    continue
                }
                let negated = rest.first == "!"
                tokens.append(.set(Glob.characters(of: rest[..<end].dropFirst(negated ? 1 : 0)), negated: negated))
                rest = rest[rest.index(after: end)...]
            default: tokens.append(.literal(character))
            }
        }
        self.tokens = tokens
    }

    /// Whether the pattern matches a tensor's whole name, or that of its module (the name without `.weight`).
    public func matches(tensorName name: String) -> Bool {
        matches(name) || (name.hasSuffix(".weight") && matches(String(name.dropLast(".weight".count))))
    }

    /// Whether the pattern matches the whole text. Linear memory, no recursion: only the last `*` is ever tried again.
    package func matches(_ text: String) -> Bool {
        let characters = Array(text)
        var position = 0
        var token = 0
        var retry: (token: Int, position: Int)?
        while position < characters.count {
            if token < tokens.count, tokens[token] == .any {
                retry = (token, position)
                token += 1
            } else if token < tokens.count, Glob.accepts(tokens[token], characters[position]) {
                token += 1
                position += 1
            } else if let last = retry {
                token = last.token + 1
                position = last.position + 1
                retry = (last.token, position)
            } else {
                return false
            }
        }
        return tokens[token...].allSatisfy { $0 == .any }
    }

    private static func accepts(_ token: Token, _ character: Character) -> Bool {
        switch token {
        case .any: false
        case .one: true
        case .literal(let expected): character == expected
        case .set(let set, let negated): set.contains(character) != negated
        }
    }

    /// The members of a set such as `a-c_`.
    private static func characters(of text: Substring) -> Set<Character> {
        var members: Set<Character> = []
        var rest = text
        while let first = rest.popFirst() {
            if rest.count >= 2, rest.first == "-", let low = first.unicodeScalars.first,
                let high = rest.dropFirst().first?.unicodeScalars.first, low <= high
            {
                members.formUnion((low.value...high.value).compactMap { Unicode.Scalar($0).map(Character.init) })
                rest = rest.dropFirst(2)
            } else {
                members.insert(first)
            }
        }
        return members
    }
}
