import LosslessJSON

/// CSV as RFC 4180 says: lines end with CR LF, fields with a comma, a quote or a line break stand in quotes.
package enum CSVText {
    package static func line(_ fields: [String]) -> String {
        fields.map(quoted).joined(separator: ",") + "\r\n"
    }

    /// A value of a JSON report as a field: nothing for null, a shape as `576x1536`, several texts joined by `; `.
    package static func field(_ value: JSONValue) -> String {
        switch value {
        case .null: ""
        case .bool(let value): value ? "true" : "false"
        case .number(let number): number.text
        case .string(let text): text
        case .array(let elements):
            elements.map(field).joined(separator: elements.contains { $0.string != nil } ? "; " : "x")
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
