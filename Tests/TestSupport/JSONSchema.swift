import LosslessJSON

/// Checks documents against a JSON Schema, draft 2020-12: the keywords that this project's schemas use.
///
/// A schema with any other keyword is refused, so that no rule of a schema goes unchecked.
package struct JSONSchema {
    /// Why a schema cannot be used.
    package struct SchemaError: Error, Hashable, CustomStringConvertible {
        package let pointer: String
        package let reason: String
        package var description: String { "schema at '\(pointer)': \(reason)" }
    }

    /// A rule that a document breaks, and where in the document (JSON Pointer).
    package struct Violation: Hashable, CustomStringConvertible {
        package let pointer: String
        package let reason: String
        package var description: String { "at '\(pointer)': \(reason)" }
    }

    private static let types: Set<String> = ["null", "boolean", "integer", "number", "string", "array", "object"]
    private static let annotations: Set<String> = [
        "$schema", "$id", "$comment", "$defs", "title", "description", "default", "examples", "deprecated",
        "markdownDescription",
    ]
    private static let rules: Set<String> = [
        "type", "enum", "const", "$ref", "oneOf", "anyOf", "allOf", "not", "if", "then", "else", "properties",
        "required",
        "additionalProperties", "minProperties", "items", "minItems", "maxItems", "uniqueItems", "minimum", "maximum",
        "exclusiveMinimum", "exclusiveMaximum", "minLength", "pattern",
    ]

    private let root: JSONValue

    /// - Throws: ``SchemaError`` for a keyword or a form of one that is not checked here, and for a `$ref` to nothing.
    package init(_ schema: JSONValue) throws {
        root = schema
        try inspect(schema, at: "")
    }

    /// The rules that a document breaks; empty for a valid document.
    package func violations(in document: JSONValue) -> [Violation] {
        check(document, against: root, at: "")
    }

    // MARK: - The schema itself

    private func inspect(_ schema: JSONValue, at pointer: String) throws {
        if schema.bool != nil { return }
        guard let members = schema.object else {
            throw SchemaError(pointer: pointer, reason: "neither an object nor true or false")
        }
        for (keyword, value) in members {
            guard JSONSchema.rules.contains(keyword) || JSONSchema.annotations.contains(keyword) else {
                throw SchemaError(pointer: pointer, reason: "the keyword \"\(keyword)\" is not checked")
            }
            try inspect(keyword: keyword, value, at: "\(pointer)/\(keyword)")
        }
    }

    private func inspect(keyword: String, _ value: JSONValue, at pointer: String) throws {
        func demand(_ condition: Bool, _ reason: String) throws {
            guard condition else { throw SchemaError(pointer: pointer, reason: reason) }
        }
        switch keyword {
        case "type":
            let names = value.string.map { [$0] } ?? (value.array ?? []).compactMap(\.string)
            try demand(!names.isEmpty && names.allSatisfy(JSONSchema.types.contains), "no such type")
        case "$ref":
            try demand(value.string.flatMap(resolve) != nil, "refers to nothing")
        case "properties", "$defs":
            try demand(value.object != nil, "not an object")
            for (name, schema) in value.object ?? [:] { try inspect(schema, at: "\(pointer)/\(name)") }
        case "oneOf", "anyOf", "allOf":
            try demand(value.array?.isEmpty == false, "not a list of schemas")
            for (index, schema) in (value.array ?? []).enumerated() { try inspect(schema, at: "\(pointer)/\(index)") }
        case "items", "additionalProperties", "not", "if", "then", "else":
            try inspect(value, at: pointer)
        case "required":
            try demand(value.array?.allSatisfy { $0.string != nil } == true, "not a list of names")
        case "enum":
            try demand(value.array?.isEmpty == false, "not a list of values")
        case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
            try demand(value.double != nil, "not a number")
        case "minItems", "maxItems", "minLength", "minProperties":
            try demand((value.int ?? -1) >= 0, "not a count")
        case "uniqueItems":
            try demand(value.bool != nil, "neither true nor false")
        case "pattern":
            try demand(value.string != nil, "not a string")
            do { _ = try Regex(value.string ?? "") } catch { try demand(false, "not a regular expression") }
        default: break
        }
    }

    /// The schema that a reference within this document points to: `#` or `#/$defs/name`.
    private func resolve(_ reference: String) -> JSONValue? {
        guard reference.hasPrefix("#") else { return nil }
        return reference.dropFirst().split(separator: "/").reduce(root) { (schema: JSONValue?, step) in
            schema?[String(step)]
        }
    }

    // MARK: - A document

    private func check(_ value: JSONValue, against schema: JSONValue, at pointer: String) -> [Violation] {
        if let allowed = schema.bool { return allowed ? [] : [Violation(pointer: pointer, reason: "not allowed here")] }
        guard let rules = schema.object else { return [] }
        func holds(_ schema: JSONValue) -> Bool { check(value, against: schema, at: pointer).isEmpty }
        func unless(_ condition: Bool, _ reason: String) -> [Violation] {
            condition ? [] : [Violation(pointer: pointer, reason: reason)]
        }

        var found: [Violation] = []
        for (keyword, rule) in rules {
            switch keyword {
            case "type":
                let names = rule.string.map { [$0] } ?? (rule.array ?? []).compactMap(\.string)
                found += unless(
                    names.contains { value.isOfType($0) },
                    "\(value.kind) where \(names.joined(separator: " or ")) should stand")
            case "const": found += unless(value.equals(rule), "not \(rule.serialized())")
            case "enum":
                found += unless((rule.array ?? []).contains { value.equals($0) }, "none of \(rule.serialized())")
            case "$ref":
                if let target = rule.string.flatMap(resolve) { found += check(value, against: target, at: pointer) }
            case "allOf": found += (rule.array ?? []).flatMap { check(value, against: $0, at: pointer) }
            case "anyOf": found += unless((rule.array ?? []).contains(where: holds), "fits none of anyOf")
            case "oneOf":
                let count = (rule.array ?? []).count(where: holds)
                found += unless(count == 1, "fits \(count) of oneOf, not one")
            case "not": found += unless(!holds(rule), "fits what it must not")
            case "if":
                if let branch = rules[holds(rule) ? "then" : "else"] {
                    found += check(value, against: branch, at: pointer)
                }
            case "pattern":
                guard let text = value.string, let expression = try? Regex(rule.string ?? "") else { continue }
                found += unless(text.contains(expression), "does not match \(rule.string ?? "")")
            case "minLength":
                guard let text = value.string else { continue }
                found += unless(text.unicodeScalars.count >= rule.int ?? 0, "shorter than \(rule.serialized())")
            case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
                guard let number = value.double, let limit = rule.double else { continue }
                let fits =
                    switch keyword {
                    case "minimum": number >= limit
                    case "maximum": number <= limit
                    case "exclusiveMinimum": number > limit
                    default: number < limit
                    }
                found += unless(fits, "breaks \(keyword) \(rule.serialized())")
            default:
                found += checkMembers(
                    of: value, keyword, rule, rules["properties"]?.object?.keys.elements ?? [], pointer)
            }
        }
        return found
    }

    /// The keywords for objects and arrays.
    private func checkMembers(
        of value: JSONValue, _ keyword: String, _ rule: JSONValue, _ known: [String], _ pointer: String
    ) -> [Violation] {
        if let members = value.object {
            switch keyword {
            case "properties":
                return (rule.object ?? [:]).flatMap { name, schema in
                    members[name].map { check($0, against: schema, at: "\(pointer)/\(name)") } ?? []
                }
            case "required":
                return (rule.array ?? []).compactMap(\.string).filter { members[$0] == nil }.map {
                    Violation(pointer: pointer, reason: "\"\($0)\" is missing")
                }
            case "additionalProperties":
                return members.filter { !known.contains($0.key) }.flatMap { name, member in
                    check(member, against: rule, at: "\(pointer)/\(name)")
                }
            case "minProperties":
                let fits = members.count >= rule.int ?? 0
                return fits ? [] : [Violation(pointer: pointer, reason: "fewer than \(rule.serialized()) members")]
            default: return []
            }
        }
        guard let elements = value.array else { return [] }
        switch keyword {
        case "items":
            return elements.enumerated().flatMap { check($1, against: rule, at: "\(pointer)/\($0)") }
        case "minItems" where elements.count < rule.int ?? 0:
            return [Violation(pointer: pointer, reason: "fewer than \(rule.serialized()) elements")]
        case "maxItems" where elements.count > rule.int ?? 0:
            return [Violation(pointer: pointer, reason: "more than \(rule.serialized()) elements")]
        case "uniqueItems" where rule.bool == true:
            let repeated = elements.indices.contains { index in
                elements[..<index].contains { $0.equals(elements[index]) }
            }
            return repeated ? [Violation(pointer: pointer, reason: "an element stands twice")] : []
        default: return []
        }
    }
}

extension JSONValue {
    fileprivate func isOfType(_ name: String) -> Bool {
        switch self {
        case .null: name == "null"
        case .bool: name == "boolean"
        case .number(let number):
            name == "number" || name == "integer" && number.double == number.double.rounded()
        case .string: name == "string"
        case .array: name == "array"
        case .object: name == "object"
        }
    }

    /// Equality as JSON Schema has it: numbers by value, objects without regard to order.
    fileprivate func equals(_ other: JSONValue) -> Bool {
        switch (self, other) {
        case (.number(let left), .number(let right)): left.double == right.double
        case (.array(let left), .array(let right)):
            left.count == right.count && zip(left, right).allSatisfy { $0.equals($1) }
        case (.object(let left), .object(let right)):
            left.count == right.count && left.allSatisfy { key, value in right[key].map { value.equals($0) } ?? false }
        default: self == other
        }
    }
}
