/// A text of a spec with fields that each adapter of a batch fills in: `out/{parent}-{name}`. Doubled braces stand for
/// themselves.
struct PathTemplate: Hashable, Sendable {
    enum Field: String, CaseIterable, Sendable {
        /// The adapter's path.
        case adapter
        /// The last name of that path.
        case name
        /// The name before it.
        case parent
        /// The adapter's number, from 1 on, in the order of the batch.
        case index
    }

    private enum Piece: Hashable, Sendable {
        case text(String)
        case field(Field)
    }

    private let pieces: [Piece]

    /// - Throws: ``SpecError`` for a field that does not exist, or a brace that is not closed.
    init(_ text: String, place: String) throws(SpecError) {
        var pieces: [Piece] = []
        var literal = ""
        var rest = text[...]
        while let character = rest.popFirst() {
            guard character == "{" || character == "}", rest.first != character else {
                if character == "{" || character == "}" { rest.removeFirst() }
                literal.append(character)
                continue
            }
            guard character == "{", let end = rest.firstIndex(of: "}") else {
                throw SpecError(
                    place: place, problem: "\"\(text)\" has a brace without its counterpart",
                    remedy: "fields are \(PathTemplate.fieldList); a brace of its own is doubled: {{ or }}")
            }
            let name = String(rest[..<end])
            guard let field = Field(rawValue: name) else {
                let hint = closestMatch(to: name, among: Field.allCases.map(\.rawValue)).map {
                    "did you mean {\($0)}? "
                }
                throw SpecError(
                    place: place, problem: "\"\(text)\" has an unknown field {\(name)}",
                    remedy: (hint ?? "") + "fields are \(PathTemplate.fieldList)")
            }
            if !literal.isEmpty { pieces.append(.text(literal)) }
            literal = ""
            pieces.append(.field(field))
            rest = rest[rest.index(after: end)...]
        }
        if !literal.isEmpty { pieces.append(.text(literal)) }
        self.pieces = pieces
    }

    static var fieldList: String { wordList(Field.allCases.map { "{\($0.rawValue)}" }, "and") }

    func has(_ field: Field) -> Bool { pieces.contains(.field(field)) }

    func filled(for adapter: BatchAdapter) -> String {
        pieces.map { piece in
            switch piece {
            case .text(let text): text
            case .field(.adapter): adapter.path
            case .field(.name): adapter.name
            case .field(.parent): adapter.parent
            case .field(.index): String(adapter.index)
            }
        }.joined()
    }
}
