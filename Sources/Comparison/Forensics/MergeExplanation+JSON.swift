import LosslessJSON
import Reports
import Tensors

extension MergeExplanation {
    /// The identifier of the format, in its `schema` member.
    public static let schema = "qconv-explain-merge"
    /// Raised when a member changes its meaning or goes away; members may be added without.
    public static let schemaVersion = 1

    /// The explanation as formats/explain-merge.schema.json describes it.
    public var json: JSONValue {
        var outcomes: JSONValue = [:]
        for outcome in MergeOutcome.allCases {
            outcomes[outcome.rawValue] = .int(tensors.count { $0.outcome == outcome })
        }
        var document: JSONValue = [
            "schema": .string(MergeExplanation.schema),
            "schema_version": .int(MergeExplanation.schemaVersion),
            "qconv_version": .string(toolVersion),
            "base": base.json,
            "merged": merged.json,
            "adapter": adapter?.json ?? .null,
            "inputs": .array(inputs.map(\.json)),
            "options": ["map": .array(options.renames.map { .string($0.text) })],
            "verdict": ["outcome": isRight ? "right" : "wrong", "text": .string(conclusion)],
            "summary": ["modules": .int(modules.count), "wrong": .int(wrong.count), "verdicts": outcomes],
            "tensors": .array(tensors.map(\.json)),
        ]
        if let run { document["run"] = run.json }
        return document
    }

    /// The explanation as a JSON file, indented, with a newline at its end.
    public func jsonText() -> String { json.serialized(.pretty) + "\n" }
}

extension TensorExplanation {
    fileprivate var json: JSONValue {
        [
            "name": .string(name),
            "module": module.map { .string($0.name) } ?? .null,
            "verdict": .string(outcome.rawValue),
            "right": .bool(outcome.isRight),
            "alternatives": .array(alternatives.map { .string($0.rawValue) }),
            "elements": .int(elements),
            "encoding_before": base.map { .string($0.encoding.label) } ?? .null,
            "encoding_after": merged.map { .string($0.encoding.label) } ?? .null,
            "rank": module.map { .int($0.rank) } ?? .null,
            "alpha": .optional(module?.alpha),
            "scaling_configured": .optional(configuredScaling),
            "scaling_applied": .optional(appliedScaling),
            "ratio": .optional(fit?.ratio),
            "standard_error": .optional(fit?.standardError),
            "r2": .optional(fit?.share),
            "other_module": otherModule.map { .string($0) } ?? .null,
            "other_ratio": .optional(otherFit?.ratio),
            "other_r2": .optional(otherFit?.share),
            "change_ratio": .optional(changeRatio),
            "update_ratio": .optional(updateRatio),
            "rest_to_rounding": .optional(restToRounding),
            "kept_if_nearest": .optional(keptIfNearest),
        ]
    }
}
