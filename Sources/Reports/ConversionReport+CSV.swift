import LosslessJSON

extension ConversionReport {
    /// One row a tensor under the keys of the JSON report, as RFC 4180 says: lines end with CR LF, fields with a comma,
    /// a quote or a line break stand in quotes.
    ///
    /// Several outputs are told apart by a first column `output` with the output's path. A field without a value is
    /// empty; a shape is written `576x1536` (empty for a scalar), notes are joined by `; `.
    public func csv() -> String {
        let several = outputs.count > 1
        // The keys are those of any row: an empty report has a header too.
        let keys = TensorReport.untouched(.init(name: "", shape: [], encoding: .dense(.u8))).fields.map(\.key)
        var text = ConversionReport.csvLine((several ? ["output"] : []) + keys)
        for output in outputs {
            for tensor in output.tensors {
                let row = tensor.fields.map { ConversionReport.csvText($0.value) }
                text += ConversionReport.csvLine((several ? [output.path] : []) + row)
            }
        }
        return text
    }

    private static func csvLine(_ fields: [String]) -> String {
        fields.map(quoted).joined(separator: ",") + "\r\n"
    }

    private static func csvText(_ value: JSONValue) -> String {
        switch value {
        case .null: ""
        case .bool(let value): value ? "true" : "false"
        case .number(let number): number.text
        case .string(let text): text
        case .array(let elements):
            elements.map(csvText).joined(separator: elements.contains { $0.string != nil } ? "; " : "x")
        case .object: value.serialized()
        }
    }

    private static func quoted(_ field: String) -> String {
        let special: Set<Unicode.Scalar> = ["\"", ",", "\r", "\n"]
        guard field.unicodeScalars.contains(where: special.contains) else { return field }
        var text = "\""
        for scalar in field.unicodeScalars {
            if scalar == "\"" { text += "\"" }
            text.unicodeScalars.append(scalar)
        }
        return text + "\""
    }
}
