import LosslessJSON

/// One key of an object in a pipeline spec: enough to check a value, to fill in its default, and to describe it in the JSON
/// schema. Declared once, so that the checker, the schema and the documentation cannot disagree.
public struct SpecKey: Sendable {
    /// What a value must be.
    public indirect enum Kind: Sendable {
        case string
        case boolean
        case number
        /// A non-negative integer.
        case integer
        case choice([String])
        case integerChoice([Int])
        /// A list of non-empty strings.
        case strings
        /// A size: a string such as "5GB" or "300MB", or a number of bytes.
        case size
        /// An object with keys of its own.
        case object([SpecKey])
        /// A list of objects with keys of their own.
        case objects([SpecKey])
    }

    public let name: String
    public let kind: Kind
    public let isRequired: Bool
    /// What an absent key means; `nil` where absence itself has a meaning.
    public let defaultValue: JSONValue?
    /// Values that other tools know and that are refused here, with what to do instead.
    public let refused: [String: String]
    /// What another key, one before this, must say for this one to have an effect; `nil` when it always has.
    public let condition: Condition?
    /// One sentence for the schema.
    public let summary: String

    /// A choice of which one value or several make another key effective.
    public struct Condition: Sendable {
        public let key: String
        public let values: [String]
    }

    public init(
        _ name: String, _ kind: Kind, required: Bool = false, default defaultValue: JSONValue? = nil,
        refused: [String: String] = [:], onlyWith condition: Condition? = nil, _ summary: String
    ) {
        self.refused = refused
        self.condition = condition
        self.name = name
        self.kind = kind
        isRequired = required
        self.defaultValue = defaultValue
        self.summary = summary
    }
}

extension SpecKey.Kind {
    /// What would be right, in words: `"nearest", "stochastic" or "auto"`.
    var expectation: String {
        switch self {
        case .string: "a non-empty string"
        case .boolean: "true or false"
        case .number: "a number"
        case .integer: "a whole number, 0 or more"
        case .choice(let choices): wordList(choices.map { "\"\($0)\"" })
        case .integerChoice(let choices): wordList(choices.map(String.init))
        case .strings: "a list of strings"
        case .size: "a size such as \"5GB\" or \"300MB\", or a number of bytes"
        case .object: "an object"
        case .objects: "a list of objects"
        }
    }

    func accepts(_ value: JSONValue) -> Bool {
        switch self {
        case .string: value.string.map { !$0.isEmpty } ?? false
        case .boolean: value.bool != nil
        case .number: value.double.map(\.isFinite) ?? false
        case .integer: value.int.map { $0 >= 0 } ?? false
        case .choice(let choices): value.string.map(choices.contains) ?? false
        case .integerChoice(let choices): value.int.map(choices.contains) ?? false
        case .strings:
            value.array.map { !$0.isEmpty && $0.allSatisfy { !($0.string ?? "").isEmpty } } ?? false
        case .size: value.string != nil || (value.int ?? 0) > 0
        case .object: value.object != nil
        case .objects: value.array.map { !$0.isEmpty && $0.allSatisfy { $0.object != nil } } ?? false
        }
    }
}

/// `a`, `a or b`, `a, b or c`.
func wordList(_ words: [String], _ conjunction: String = "or") -> String {
    guard let last = words.last else { return "" }
    guard words.count > 1 else { return last }
    return words.dropLast().joined(separator: ", ") + " \(conjunction) " + last
}
