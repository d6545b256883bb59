import OrderedCollections

/// A JSON document that keeps what other parsers lose: the order of keys and the exact text of numbers.
///
/// Model directories carry JSON that must survive a conversion untouched (`"model_max_length":
/// 1000000000000000019884624838656`, `"rms_norm_eps": 1e-06`), and a safetensors header must be refused when a key
/// stands twice. Numbers therefore stay text until somebody asks for a value.
public enum JSONValue: Hashable, Sendable {
    case null
    case bool(Bool)
    /// A number, as its source text (valid JSON number grammar).
    case number(JSONNumber)
    case string(String)
    case array([JSONValue])
    case object(OrderedDictionary<String, JSONValue>)
}

/// A JSON number that remembers how it was written.
public struct JSONNumber: Hashable, Sendable {
    /// The number as JSON text.
    public let text: String

    /// A number from text that is already valid JSON.
    package init(validText text: String) {
        self.text = text
    }

    /// An integer.
    public init(_ value: some BinaryInteger) {
        text = String(value)
    }

    /// A finite double, written as Python's `repr` writes it: the shortest text that reads back as the same double.
    ///
    /// - Precondition: `value` is finite; JSON has no infinities.
    public init(_ value: Double) {
        precondition(value.isFinite, "JSON has no NaN or infinity")
        text = pythonRepr(value)
    }

    /// The number as an integer, if it is one (no fraction, no exponent) and fits.
    public var int: Int? { Int(text) }

    /// The nearest double.
    public var double: Double { Double(text) ?? .nan }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int) { self = .number(JSONNumber(value)) }
    public init(floatLiteral value: Double) { self = .number(JSONNumber(value)) }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    public init(nilLiteral: ()) { self = .null }
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(OrderedDictionary(elements, uniquingKeysWith: { $1 }))
    }
}

extension JSONValue {
    /// An integer.
    public static func int(_ value: some BinaryInteger) -> JSONValue { .number(JSONNumber(value)) }

    /// A double; NaN and infinities become `null`, as JSON cannot hold them.
    public static func double(_ value: Double) -> JSONValue {
        value.isFinite ? .number(JSONNumber(value)) : .null
    }

    /// The value of `key`, if this is an object that has it. Setting `nil` removes the key; setting on anything but
    /// an object does nothing.
    public subscript(key: String) -> JSONValue? {
        get { object?[key] }
        set {
            guard case .object(var members) = self else { return }
            self = .null  // releases the storage, so that the dictionary below is changed in place
            members[key] = newValue
            self = .object(members)
        }
    }

    public var object: OrderedDictionary<String, JSONValue>? {
        if case .object(let value) = self { value } else { nil }
    }
    public var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
    public var string: String? { if case .string(let value) = self { value } else { nil } }
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    public var int: Int? { if case .number(let value) = self { value.int } else { nil } }
    public var double: Double? { if case .number(let value) = self { value.double } else { nil } }
    public var isNull: Bool { self == .null }

    /// What kind of value this is, in the words of an error message: `a string`, `an object`, …
    public var kind: String {
        switch self {
        case .null: "null"
        case .bool: "true or false"
        case .number: "a number"
        case .string: "a string"
        case .array: "a list"
        case .object: "an object"
        }
    }
}
