import LosslessJSON
import Tensors

extension AdapterLint {
    /// The identifier of the format, in its `schema` member.
    public static let schema = "qconv-lint"
    /// Raised when a member changes its meaning or goes away; members may be added without.
    public static let schemaVersion = 1

    /// What lint found, as formats/lint.schema.json describes it.
    public var json: JSONValue {
        var counts: JSONValue = [:]
        for severity in LintCode.Severity.allCases { counts[severity.rawValue] = .int(count(severity)) }
        return [
            "schema": .string(AdapterLint.schema),
            "schema_version": .int(AdapterLint.schemaVersion),
            "qconv_version": .string(toolVersion),
            "adapter": .string(path.string),
            "base": basePath.map { .string($0.string) } ?? .null,
            "tensors": .int(tensorCount),
            "bytes": .int(dataBytes),
            "values_read": .bool(readsValues),
            "clean": .bool(isClean),
            "text": .string(conclusion),
            "counts": counts,
            "findings": .array(
                findings.map { finding in
                    [
                        "code": .string(finding.code.rawValue), "severity": .string(finding.severity.rawValue),
                        "subject": finding.subject.map { .string($0) } ?? .null, "message": .string(finding.message),
                    ]
                }),
            "replaced": .array(replacements.compactMap(\.replacementJSON)),
            "modules": .array(modules.map { json(of: $0) }),
        ]
    }

    /// What lint found as a JSON file, indented, with a newline at its end.
    public func jsonText() -> String { json.serialized(.pretty) + "\n" }

    private func json(of linted: LintedModule) -> JSONValue {
        let module = linted.module
        return [
            "name": .string(module.name),
            "weight": .string(module.weightName),
            "shape": .array(module.weightShape.map { .int($0) }),
            "rank": .int(linted.rank),
            "alpha": linted.alpha.map { .double($0) } ?? .null,
            "scaling": linted.scaling.map { .double($0) } ?? .null,
            "dtypes": .array(linted.dtypes.map { .string($0.rawValue) }),
            "extras": .array(module.extras.map { .string($0) }),
            "matched": basePath == nil ? .null : .bool(linted.baseEncoding != nil),
            "base_encoding": linted.baseEncoding.map { .string($0.label) } ?? .null,
        ]
    }
}
