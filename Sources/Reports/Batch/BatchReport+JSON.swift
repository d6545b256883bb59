import LosslessJSON

extension BatchReport {
    /// The identifier of the report's format, in its `schema` member.
    public static let schema = "qconv-batch-report"
    /// Raised when a member changes its meaning or goes away; members may be added without.
    public static let schemaVersion = 1

    /// The report as formats/batch-report.schema.json describes it. Without ``run`` there is no `run` member.
    public var json: JSONValue {
        var report: JSONValue = [
            "schema": .string(BatchReport.schema),
            "schema_version": .int(BatchReport.schemaVersion),
            "qconv_version": .string(toolVersion),
            "input": .string(input),
            "conclusion": .string(conclusion),
            "passes": .int(passes),
            "adapters": .array(adapters.map(\.json)),
            "warnings": .array(warnings.map { .string($0) }),
        ]
        if let run { report["run"] = run.json }
        return report
    }

    /// One row an output under the keys of the JSON report; an adapter without outputs has one row too. As RFC 4180 says.
    public func csv() -> String {
        let empty = BatchFigures(OutputReport(path: "", format: "", tensors: []), bytes: 0)
        let keys = empty.fields.map { $0.key == "path" ? "output" : $0.key }
        var text = CSVText.line(["adapter", "status"] + keys + ["reason"])
        for adapter in adapters {
            let rows = adapter.outputs.map { $0.fields.map { CSVText.field($0.value) } }
            for row in rows.isEmpty ? [keys.map { _ in "" }] : rows {
                text += CSVText.line([adapter.path, adapter.status.rawValue] + row + [adapter.reason ?? ""])
            }
        }
        return text
    }
}

extension BatchReport.Adapter {
    fileprivate var json: JSONValue {
        [
            "path": .string(path), "status": .string(status.rawValue),
            "reason": reason.map { .string($0) } ?? .null, "outputs": .array(outputs.map(\.json)),
        ]
    }
}
