import LosslessJSON
import OrderedCollections

/// The JSON schema of pipeline specs, made from the same declarations that check them.
public enum SpecSchema {
    /// The schema as text: the content of `formats/pipeline.schema.json`.
    public static var text: String { document.serialized(.pretty) + "\n" }

    static var document: JSONValue {
        var root = schema(
            of: PipelineSpec.keys + [BatchSpec.key], extra: ["steps": steps, "$schema": ["type": "string"]])
        root["required"] = ["input", "steps"]
        var document: JSONValue = [
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "qconv pipeline",
            "description": "A conversion of a model checkpoint: input, steps, output, report.",
        ]
        for (key, value) in root.object ?? [:] { document[key] = value }
        return document
    }

    private static var steps: JSONValue {
        [
            "type": "array",
            "description": "What is done to the model, in order.",
            "items": ["oneOf": .array(StageRegistry.stages.map(schema(ofStage:)))],
        ]
    }

    private static func schema(ofStage stage: any Stage.Type) -> JSONValue {
        var object = schema(of: stage.keys, extra: ["op": ["const": .string(stage.op)]])
        object["description"] = .string(stage.summary)
        object["required"] = .array(
            ["op"] + stage.keys.filter(\.isRequired).map { JSONValue.string($0.name) })
        if !stage.alternativeKeys.isEmpty {
            object["oneOf"] = .array(stage.alternativeKeys.map { ["required": [.string($0)]] })
        }
        return object
    }

    private static func schema(of keys: [SpecKey], extra: OrderedDictionary<String, JSONValue> = [:]) -> JSONValue {
        var properties = extra
        for key in keys {
            var property = schema(of: key.kind)
            property["description"] = .string(key.summary)
            if let defaultValue = key.defaultValue { property["default"] = defaultValue }
            properties[key.name] = property
        }
        let required = keys.filter(\.isRequired).map { JSONValue.string($0.name) }
        var object: JSONValue = [
            "type": "object", "properties": .object(properties), "additionalProperties": false,
        ]
        if !required.isEmpty { object["required"] = .array(required) }
        return object
    }

    private static func schema(of kind: SpecKey.Kind) -> JSONValue {
        switch kind {
        case .string: ["type": "string", "minLength": 1]
        case .boolean: ["type": "boolean"]
        case .number: ["type": "number"]
        case .integer: ["type": "integer", "minimum": 0]
        case .choice(let choices): ["enum": .array(choices.map { .string($0) })]
        case .integerChoice(let choices): ["enum": .array(choices.map { .int($0) })]
        case .strings: ["type": "array", "minItems": 1, "items": ["type": "string", "minLength": 1]]
        case .size: ["type": ["string", "integer"], "minimum": 1]
        case .object(let keys): schema(of: keys)
        case .objects(let keys): ["type": "array", "minItems": 1, "items": schema(of: keys)]
        }
    }
}
