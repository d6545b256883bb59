import LosslessJSON
import Reports

extension ModelDifference {
    /// The identifier of the format, in its `schema` member.
    public static let schema = "qconv-diff"
    /// Raised when a member changes its meaning or goes away; members may be added without.
    public static let schemaVersion = 1

    /// The comparison as formats/diff.schema.json describes it.
    public var json: JSONValue {
        let verdict = verdict
        var document: JSONValue = [
            "schema": .string(ModelDifference.schema),
            "schema_version": .int(ModelDifference.schemaVersion),
            "qconv_version": .string(toolVersion),
            "before": a.json,
            "after": b.json,
            "adapter": adapter?.json ?? .null,
            "inputs": .array(inputs.map(\.json)),
            "options": optionsAsJSON,
            "verdict": ["outcome": .string(verdict.outcome.rawValue), "text": .string(verdict.text)],
            "summary": summaryAsJSON,
            "config_changes": .array(configurationChanges.map(\.json)),
            "metadata_changes": .array(metadataChanges.map(\.json)),
            "contained_adapters": .array(
                containedAdapters.map { ["name": .string($0.name), "status": .string($0.outcome.rawValue)] }),
            "gates": .array(gates.map(\.json)),
            "tensors": .array(
                tensors.map { tensor in
                    var row: JSONValue = [:]
                    for (key, value) in tensor.fields { row[key] = value }
                    row["histogram"] = tensor.distribution?.json ?? .null
                    return row
                }),
        ]
        if let run { document["run"] = run.json }
        return document
    }

    /// The comparison as a JSON file, indented, with a newline at its end.
    public func jsonText() -> String { json.serialized(.pretty) + "\n" }

    var optionsAsJSON: JSONValue {
        [
            "map": .array(options.renames.map { .string($0.text) }),
            "include": .array(options.include.map { .string($0.pattern) }),
            "exclude": .array(options.exclude.map { .string($0.pattern) }),
            "tolerance": .double(options.tolerance),
        ]
    }

    private var summaryAsJSON: JSONValue {
        var outcomes: JSONValue = [:]
        for outcome in TensorDifference.Outcome.allCases { outcomes[outcome.rawValue] = .int(summary.count(outcome)) }
        return [
            "tensors": .int(tensors.count),
            "status": outcomes,
            "tolerated": .int(summary.tolerated),
            "stored_differently": .int(summary.storedDifferently),
            "elements_compared": .int(summary.elements),
            "changed": .int(summary.counts.changed),
            "relative_error": [
                "overall": .optional(summary.overall.relativeError),
                "worst": summary.worstRelativeError?.json ?? .null,
            ],
            "rmse": .optional(summary.overall.rmse),
            "max_abs_error": .optional(summary.overall.maxAbsError),
            "sqnr_db": .optional(summary.overall.sqnrDecibels),
            "percentiles": [
                "p50": .optional(distribution?.median),
                "p95": .optional(distribution?.percentile95),
                "p99_9": .optional(distribution?.percentile999),
            ],
            "histogram": distribution?.json ?? .null,
            "codes_changed": .optional(summary.codesChangedShare),
            "scales_changed": .optional(summary.scalesChangedShare),
            "nan": ["before": .int(summary.counts.nanA), "after": .int(summary.counts.nanB)],
            "infinite": ["before": .int(summary.counts.infiniteA), "after": .int(summary.counts.infiniteB)],
            "nonfinite_mismatches": .int(summary.counts.nonFiniteMismatches),
            "update": adapter == nil
                ? .null
                : [
                    "tensors": .int(summary.updated), "kept": .int(summary.kept), "thinned": .int(summary.thinned),
                    "erased": .int(summary.erased),
                    "update_ratio": .optional(summary.overall.updateRatio),
                    "update_kept": .optional(summary.overall.updateKept),
                    "worst": summary.worstUpdateKept?.json ?? .null,
                    "median_update_to_step": .optional(summary.medianUpdateToStep),
                    "merge_error": .optional(summary.mergeError),
                ],
        ]
    }
}

extension DifferenceSummary.Extreme {
    fileprivate var json: JSONValue { ["name": .string(tensor), "value": .double(value)] }
}

extension ConfigurationChange {
    var json: JSONValue {
        ["key": .string(key), "before": a ?? .null, "after": b ?? .null, "about_storage": .bool(isAboutStorage)]
    }
}

extension ModelSide {
    var json: JSONValue {
        var shares: JSONValue = [:]
        for share in encodings { shares[share.label] = .int(share.elements) }
        return [
            "path": .string(path), "kind": .string(kind.rawValue), "tensors": .int(tensors),
            "elements": .int(elements), "bytes": .int(bytes), "encodings": shares,
            "contained_adapters": .array(containedAdapters.map { .string($0) }),
        ]
    }
}
