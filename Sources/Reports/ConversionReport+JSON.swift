import LosslessJSON

extension ConversionReport {
    /// The identifier of the report's format, in its `schema` member.
    public static let schema = "qconv-report"
    /// Raised when a member changes its meaning or goes away; members may be added without.
    public static let schemaVersion = 1

    /// The report as formats/report.schema.json describes it. Without ``run`` there is no `run` member.
    public var json: JSONValue {
        var report: JSONValue = [
            "schema": .string(ConversionReport.schema),
            "schema_version": .int(ConversionReport.schemaVersion),
            "qconv_version": .string(toolVersion),
            "inputs": .array(inputs.map(\.json)),
            "adapters": .array(adapters.map(\.json)),
            "spec": spec,
            "warnings": .array(warnings.map { .string($0) }),
            "outputs": .array(outputs.map(\.json)),
        ]
        if !gates.isEmpty {
            report["gates"] = .array(gates.map(\.json))
            report["discarded"] = .bool(isDiscarded)
        }
        if let run { report["run"] = run.json }
        return report
    }

    /// The report as a JSON file, indented, with a newline at its end.
    public func jsonText() -> String { json.serialized(.pretty) + "\n" }
}

extension InputFingerprint {
    package var json: JSONValue {
        var fingerprint: JSONValue = [
            "path": .string(path), "size": .int(size), "header_sha256": .string(headerSHA256),
        ]
        if let sha256 { fingerprint["sha256"] = .string(sha256) }
        return fingerprint
    }
}

extension AdapterReport {
    package var json: JSONValue {
        ["path": .string(path), "weight": .double(weight), "modules_matched": .int(modulesMatched)]
    }
}

extension RunFacts {
    package var json: JSONValue {
        var json: JSONValue = [
            "seconds": .double(seconds),
            "peak_memory_bytes": peakMemoryBytes.map { .int($0) } ?? .null,
            "threads": .int(threads),
        ]
        if let shares {
            json["shares"] = [
                "read": .double(shares.read), "compute": .double(shares.compute), "write": .double(shares.write),
                "wait": .double(shares.wait),
            ]
        }
        return json
    }
}

extension OutputReport {
    fileprivate var json: JSONValue {
        var rows: [JSONValue] = []
        rows.reserveCapacity(tensors.count)
        for tensor in tensors {
            var row: JSONValue = [:]
            for (key, value) in tensor.fields { row[key] = value }
            rows.append(row)
        }
        return [
            "path": .string(path),
            "format": .string(format),
            "verdict": ["outcome": .string(verdict.outcome.rawValue), "text": .string(verdict.text)],
            "summary": summary.json,
            "tensors": .array(rows),
        ]
    }
}

extension OutputSummary {
    fileprivate var json: JSONValue {
        [
            "tensors": .int(after.tensors),
            "converted": .int(converted),
            "untouched": .int(untouched),
            "updated": .int(updated),
            "rounding": ["nearest": .int(roundedNearest), "stochastic": .int(roundedStochastically)],
            "elements": .int(after.elements),
            "bytes_before": .int(before.bytes),
            "bytes_after": .int(after.bytes),
            "bits_per_weight": [
                "before": .optional(before.bitsPerWeight),
                "after": .optional(after.bitsPerWeight),
                "four_bit_before": .optional(fourBitBefore.bitsPerWeight),
                "four_bit_after": .optional(fourBitAfter.bitsPerWeight),
            ],
            "relative_error": [
                "overall": .optional(overall.relativeError),
                "median": .optional(medianRelativeError),
                "worst": worstRelativeError?.json ?? .null,
            ],
            "sqnr_db": .optional(overall.sqnrDecibels),
            "codes_changed": .optional(codesChangedShare),
            "update_ratio": .optional(overall.updateRatio),
            "update_kept": [
                "overall": .optional(overall.updateKept),
                "worst": worstUpdateKept?.json ?? .null,
            ],
            "nonfinite_exact": .int(nonFiniteExact),
            "nonfinite_written": .int(nonFiniteWritten),
        ]
    }
}

extension OutputSummary.Extreme {
    fileprivate var json: JSONValue { ["name": .string(tensor), "value": .double(value)] }
}
