/// How JSON is laid out when written.
public enum JSONLayout: Sendable {
    /// No white space: `{"a":[1,2]}`. What safetensors' reference writer (serde) makes.
    case compact
    /// One line with a space after `,` and `:`: `{"a": [1, 2]}`. What Python's `json.dumps` makes.
    case pythonOneLine
    /// Two spaces an indent, one member a line; lists of scalars stay on one line. For people.
    case pretty
    /// Two spaces an indent, one member and one list element a line. What Python's `json.dumps(indent=2)` makes, and
    /// so transformers' configuration files.
    case pythonIndented
}

extension JSONValue {
    /// The document as text. Control characters are escaped.
    ///
    /// - Parameter escapingNonASCII: whether characters outside ASCII become `\u` escapes. By default they do in the
    ///   layouts of Python's `json.dumps` (its `ensure_ascii`) and stay as they are in the others.
    public func serialized(_ layout: JSONLayout = .compact, escapingNonASCII: Bool? = nil) -> String {
        let ascii = escapingNonASCII ?? (layout == .pythonOneLine || layout == .pythonIndented)
        var out = ""
        write(to: &out, layout: layout, ascii: ascii, indent: 0)
        return out
    }

    private func write(to out: inout String, layout: JSONLayout, ascii: Bool, indent: Int) {
        switch self {
        case .null: out += "null"
        case .bool(let value): out += value ? "true" : "false"
        case .number(let value): out += value.text
        case .string(let value): JSONValue.writeString(value, ascii: ascii, to: &out)
        case .array(let elements):
            let inline = layout == .pretty && elements.allSatisfy(\.isScalar)
            writeSequence(
                elements, open: "[", close: "]", to: &out, layout: inline ? .pythonOneLine : layout, indent: indent
            ) { element, out, layout, indent in
                element.write(to: &out, layout: layout, ascii: ascii, indent: indent)
            }
        case .object(let members):
            writeSequence(members.elements, open: "{", close: "}", to: &out, layout: layout, indent: indent) {
                member, out, layout, indent in
                JSONValue.writeString(member.key, ascii: ascii, to: &out)
                out += layout == .compact ? ":" : ": "
                member.value.write(to: &out, layout: layout, ascii: ascii, indent: indent)
            }
        }
    }

    private var isScalar: Bool {
        switch self {
        case .array, .object: false
        default: true
        }
    }

    private func writeSequence<Elements: Collection>(
        _ elements: Elements, open: String, close: String, to out: inout String, layout: JSONLayout, indent: Int,
        writeElement: (Elements.Element, inout String, JSONLayout, Int) -> Void
    ) {
        out += open
        guard !elements.isEmpty else {
            out += close
            return
        }
        let multiline = layout == .pretty || layout == .pythonIndented
        let separator = layout == .pythonOneLine ? ", " : ","
        var first = true
        for element in elements {
            if !first { out += separator }
            first = false
            if multiline { out += "\n" + String(repeating: "  ", count: indent + 1) }
            writeElement(element, &out, layout, indent + 1)
        }
        if multiline { out += "\n" + String(repeating: "  ", count: indent) }
        out += close
    }

    private static func writeString(_ value: String, ascii: Bool, to out: inout String) {
        out += "\""
        defer { out += "\"" }
        guard !value.utf8.allSatisfy(isPlain) else {
            out += value
            return
        }
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case "\u{08}": out += "\\b"
            case "\u{0C}": out += "\\f"
            case "\u{00}"..<"\u{20}": writeEscape(UInt16(scalar.value), to: &out)
            case "\u{7F}"... where ascii:
                for unit in UTF16.encode(scalar) ?? UTF16.encodedReplacementCharacter { writeEscape(unit, to: &out) }
            default: out.unicodeScalars.append(scalar)
            }
        }
    }

    /// Whether a byte stands for itself in any layout.
    private static func isPlain(_ byte: UInt8) -> Bool {
        byte >= 0x20 && byte < 0x7F && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
    }

    private static func writeEscape(_ unit: UInt16, to out: inout String) {
        let hex = String(unit, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
    }
}
