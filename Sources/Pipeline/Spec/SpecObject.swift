import Checkpoints
import LosslessJSON
import OrderedCollections

/// An object of a spec that has been checked against its keys, with defaults filled in.
public struct SpecObject: Sendable {
    /// Where in the spec, for messages.
    public let place: String
    /// Every key that has a value or a default, in the order of their declaration.
    public let values: OrderedDictionary<String, JSONValue>

    /// Checks `value` against `keys`.
    ///
    /// - Parameter extraKeys: keys that somebody else has checked (`op`), allowed but not kept.
    /// - Throws: ``SpecError`` for a missing, unknown or wrong key, naming what would be right.
    public init(_ value: JSONValue, keys: [SpecKey], place: String, extraKeys: [String] = []) throws(SpecError) {
        guard let members = value.object else {
            throw SpecError(place: place, problem: "must be an object, not \(value.kind)")
        }
        let names = extraKeys + keys.map(\.name)
        for name in members.keys where !names.contains(name) {
            let hint = closestMatch(to: name, among: names).map { "did you mean \"\($0)\"? " } ?? ""
            throw SpecError(
                place: place, problem: "unknown key \"\(name)\"",
                remedy: hint + "keys here: \(wordList(names, "and"))")
        }
        var values: OrderedDictionary<String, JSONValue> = [:]
        for key in keys {
            let unmet = key.condition.flatMap { $0.values.contains(values[$0.key]?.string ?? "") ? nil : $0 }
            guard let given = members[key.name] else {
                guard !key.isRequired else {
                    throw SpecError(
                        place: place, problem: "the key \"\(key.name)\" is missing",
                        remedy: "it must be \(key.kind.expectation)")
                }
                if unmet == nil, let defaultValue = key.defaultValue { values[key.name] = defaultValue }
                continue
            }
            guard key.kind.accepts(given) else {
                throw SpecError(
                    place: place, problem: "\"\(key.name)\" is \(given.serialized(.pythonOneLine))",
                    remedy: given.string.flatMap { key.refused[$0] } ?? "it must be \(key.kind.expectation)")
            }
            if let other = unmet?.key {
                throw SpecError(
                    place: place,
                    problem:
                        "\"\(key.name)\" has no effect with \"\(other)\": \(values[other]?.serialized() ?? "null")",
                    remedy: "drop it")
            }
            switch key.kind {
            case .object(let inner):
                values[key.name] = .object(
                    try SpecObject(given, keys: inner, place: "\(place), \"\(key.name)\"").values)
            case .objects(let inner):
                var filled: [JSONValue] = []
                for (index, element) in (given.array ?? []).enumerated() {
                    let place = "\(place), \"\(key.name)\" \(index + 1)"
                    filled.append(.object(try SpecObject(element, keys: inner, place: place).values))
                }
                values[key.name] = .array(filled)
            default: values[key.name] = given
            }
        }
        self.place = place
        self.values = values
    }

    public func string(_ key: String) -> String? { values[key]?.string }
    public func bool(_ key: String) -> Bool? { values[key]?.bool }
    public func int(_ key: String) -> Int? { values[key]?.int }
    public func double(_ key: String) -> Double? { values[key]?.double }
    public func strings(_ key: String) -> [String]? { values[key]?.array?.compactMap(\.string) }

    /// What an adapter's updates are multiplied with; `nil` when the key is absent.
    ///
    /// - Throws: ``SpecError`` when float32 cannot hold it.
    public func weight(_ key: String) throws(SpecError) -> Double? {
        guard let weight = double(key) else { return nil }
        try SpecObject.checkWeight(weight, key, place: place)
        return weight
    }

    /// Refuses a weight that is infinite in float32, in which updates are computed.
    static func checkWeight(_ weight: Double, _ key: String, place: String) throws(SpecError) {
        guard !Float(weight).isFinite else { return }
        throw SpecError(
            place: place, problem: "\"\(key)\" is \(weight)",
            remedy: "it must be a number that float32 holds, up to \(Float.greatestFiniteMagnitude)")
    }

    /// The string of a required key.
    public func requiredString(_ key: String) throws(SpecError) -> String {
        guard let value = string(key) else {
            throw SpecError(place: place, problem: "the key \"\(key)\" is missing")
        }
        return value
    }

    /// One of an enumeration's cases, by its raw value.
    public func choice<Value: RawRepresentable<String>>(_ key: String, _ type: Value.Type) throws(SpecError) -> Value {
        guard let text = string(key), let value = Value(rawValue: text) else {
            throw SpecError(
                place: place, problem: "\"\(key)\" is \(values[key]?.serialized(.pythonOneLine) ?? "missing")")
        }
        return value
    }

    /// A size in bytes; `nil` when the key is absent.
    public func size(_ key: String) throws(SpecError) -> Int? {
        guard let value = values[key] else { return nil }
        if let bytes = value.int { return bytes }
        guard let text = value.string else { return nil }
        let bytes: Int
        do {
            bytes = try ByteSize(parsing: text).bytes
        } catch {
            throw SpecError(place: place, problem: "\"\(key)\": \(error)")
        }
        guard bytes > 0 else {
            throw SpecError(place: place, problem: "\"\(key)\" is \"\(text)\"", remedy: "it must be above 0")
        }
        return bytes
    }
}
