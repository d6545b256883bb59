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
        var out: [UInt8] = []
        write(to: &out, layout: layout, ascii: ascii, indent: 0)
        return String(decoding: out, as: UTF8.self)
    }

    private func write(to out: inout [UInt8], layout: JSONLayout, ascii: Bool, indent: Int) {
        switch self {
        case .null: out += "null".utf8
        case .bool(let value): out += (value ? "true" : "false").utf8
        case .number(let value): out += value.text.utf8
        case .string(let value): JSONValue.write(string: value, escapingNonASCII: ascii, to: &out)
        case .array(let elements):
            let inline = layout == .pretty && elements.allSatisfy(\.isScalar)
            JSONValue.writeSequence(
                elements, "[", "]", to: &out, layout: inline ? .pythonOneLine : layout, indent: indent
            ) { element, out, layout, indent in
                element.write(to: &out, layout: layout, ascii: ascii, indent: indent)
            }
        case .object(let members):
            JSONValue.writeSequence(members.elements, "{", "}", to: &out, layout: layout, indent: indent) {
                member, out, layout, indent in
                JSONValue.write(string: member.key, escapingNonASCII: ascii, to: &out)
                out += (layout == .compact ? ":" : ": ").utf8
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

    private static func writeSequence<Elements: Collection>(
        _ elements: Elements, _ open: Unicode.Scalar, _ close: Unicode.Scalar, to out: inout [UInt8],
        layout: JSONLayout, indent: Int, writeElement: (Elements.Element, inout [UInt8], JSONLayout, Int) -> Void
    ) {
        out.append(UInt8(ascii: open))
        defer { out.append(UInt8(ascii: close)) }
        guard !elements.isEmpty else { return }
        let multiline = layout == .pretty || layout == .pythonIndented
        let separator = layout == .pythonOneLine ? ", " : ","
        var first = true
        for element in elements {
            if !first { out += separator.utf8 }
            first = false
            if multiline { startLine(indent: indent + 1, &out) }
            writeElement(element, &out, layout, indent + 1)
        }
        if multiline { startLine(indent: indent, &out) }
    }

    private static func startLine(indent: Int, _ out: inout [UInt8]) {
        out.append(UInt8(ascii: "\n"))
        out += repeatElement(UInt8(ascii: " "), count: 2 * indent)
    }

    /// Writes a string with its quotation marks.
    package static func write(string value: String, escapingNonASCII ascii: Bool, to out: inout [UInt8]) {
        out.append(UInt8(ascii: "\""))
        defer { out.append(UInt8(ascii: "\"")) }
        let wasPlain = value.utf8.withContiguousStorageIfAvailable { bytes in
            guard bytes.allSatisfy(isPlain) else { return false }
            out += bytes
            return true
        }
        if wasPlain == true { return }
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\"".utf8
            case "\\": out += "\\\\".utf8
            case "\n": out += "\\n".utf8
            case "\r": out += "\\r".utf8
            case "\t": out += "\\t".utf8
            case "\u{08}": out += "\\b".utf8
            case "\u{0C}": out += "\\f".utf8
            case "\u{00}"..<"\u{20}": writeEscape(UInt16(scalar.value), to: &out)
            case "\u{7F}"... where ascii:
                for unit in UTF16.encode(scalar) ?? UTF16.encodedReplacementCharacter { writeEscape(unit, to: &out) }
            default: out += UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter
            }
        }
    }

    /// Writes an integer.
    package static func write(integer value: Int, to out: inout [UInt8]) {
        if value < 0 { out.append(UInt8(ascii: "-")) }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var start = digits.count
            var rest = value.magnitude
            repeat {
                start -= 1
                digits.initializeElement(at: start, to: UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
                rest /= 10
            } while rest > 0
            out += digits[start...]
        }
    }

    /// Writes a list of integers.
    package static func write(integers: [Int], _ layout: JSONLayout = .compact, to out: inout [UInt8]) {
        writeSequence(integers, "[", "]", to: &out, layout: layout, indent: 0) { value, out, _, _ in
            write(integer: value, to: &out)
        }
    }

    /// Whether a byte stands for itself in any layout.
    private static func isPlain(_ byte: UInt8) -> Bool {
        byte >= 0x20 && byte < 0x7F && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
    }

    private static func writeEscape(_ unit: UInt16, to out: inout [UInt8]) {
        let hex = String(unit, radix: 16)
        out += ("\\u" + String(repeating: "0", count: 4 - hex.count) + hex).utf8
    }
}
