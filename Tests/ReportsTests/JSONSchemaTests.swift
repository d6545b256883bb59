import LosslessJSON
import TestSupport
import Testing

/// The checker that other tests rely on.
@Suite struct JSONSchemaTests {
    @Test(arguments: [
        (#"{"type": "integer"}"#, ["1", "1.0", "-3"], ["1.5", "\"1\"", "null"]),
        (#"{"type": ["string", "null"]}"#, ["\"\"", "null"], ["1", "[]"]),
        (#"{"enum": ["a", 1, null]}"#, ["\"a\"", "1.0", "null"], ["\"b\"", "2"]),
        (#"{"const": {"a": [1, 2]}}"#, [#"{"a": [1, 2.0]}"#], [#"{"a": [2, 1]}"#, "{}"]),
        (#"{"minimum": 0, "exclusiveMaximum": 1}"#, ["0", "0.5", "\"x\""], ["-0.1", "1"]),
        (
            #"{"required": ["a"], "properties": {"a": {"type": "string"}}}"#, [#"{"a": "x", "b": 1}"#, "3"],
            ["{}", #"{"a": 1}"#]
        ),
        (#"{"properties": {"a": true}, "additionalProperties": false}"#, ["{}", #"{"a": 1}"#], [#"{"b": 1}"#]),
        (#"{"additionalProperties": {"type": "number"}}"#, [#"{"b": 1}"#], [#"{"b": "1"}"#]),
        (
            #"{"items": {"type": "number"}, "minItems": 1, "maxItems": 2}"#, ["[1]", "[1, 2]"],
            ["[]", "[1, \"\"]", "[1, 2, 3]"]
        ),
        (#"{"uniqueItems": true}"#, ["[1, 2]"], ["[1, 1.0]"]),
        (#"{"oneOf": [{"minimum": 2}, {"maximum": 3}]}"#, ["1", "4"], ["2", "3"]),
        (#"{"anyOf": [{"type": "string"}, {"minimum": 3}]}"#, ["\"a\"", "3"], ["2"]),
        (#"{"allOf": [{"minimum": 2}, {"maximum": 3}]}"#, ["2", "3"], ["1", "4"]),
        (#"{"not": {"type": "null"}}"#, ["1"], ["null"]),
        (#"{"if": {"minimum": 5}, "then": {"const": 7}, "else": {"const": 1}}"#, ["7", "1"], ["5", "2"]),
        (##"{"$ref": "#/$defs/a/items", "$defs": {"a": {"items": {"type": "null"}}}}"##, ["null"], ["1"]),
        (##"{"items": {"$ref": "#"}, "type": "array"}"##, ["[[], [[]]]"], ["[1]"]),
        (#"{"pattern": "^[0-9]+GB$", "minLength": 4}"#, ["\"15GB\"", "1"], ["\"5GB\"", "\"5 GB\""]),
        (#"{"minProperties": 1}"#, [#"{"a": 1}"#], ["{}"]),
        ("false", [], ["1"]),
    ])
    func rules(schema: String, valid: [String], invalid: [String]) throws {
        let schema = try JSONSchema(JSONValue(parsing: schema))
        for text in valid { #expect(try schema.violations(in: JSONValue(parsing: text)) == [], "\(text)") }
        for text in invalid { #expect(try !schema.violations(in: JSONValue(parsing: text)).isEmpty, "\(text)") }
    }

    @Test(arguments: [
        #"{"maxlength": 3}"#, #"{"type": "int"}"#, ##"{"$ref": "#/$defs/missing"}"##, #"{"items": [true]}"#,
        #"{"properties": {"a": {"format": "uri"}}}"#, #"{"oneOf": []}"#, #"{"required": "a"}"#, #"{"pattern": "("}"#,
    ])
    func schemasThatCannotBeCheckedAreRefused(schema: String) throws {
        let schema = try JSONValue(parsing: schema)
        #expect(throws: JSONSchema.SchemaError.self) { try JSONSchema(schema) }
    }

    @Test func violationsSayWhere() throws {
        let schema = try JSONSchema(
            JSONValue(parsing: #"{"properties": {"steps": {"items": {"properties": {"op": {"const": "cast"}}}}}}"#))
        let document = try JSONValue(parsing: #"{"steps": [{"op": "cast"}, {"op": "save"}]}"#)
        #expect(schema.violations(in: document).map(\.description) == [#"at '/steps/1/op': not "cast""#])
    }
}
