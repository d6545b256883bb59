/// Why a text is not acceptable JSON, and where.
public struct JSONParseError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Reason: Hashable, Sendable {
        case unexpectedEnd
        case unexpectedByte(UInt8, expected: String)
        case invalidNumber
        case invalidEscape
        case invalidUTF8
        case controlCharacter
        case duplicateKey(String)
        /// A key that differs from another one only in how a character is written: canonically equivalent in Unicode.
        case equivalentKey(String)
        case tooDeep(limit: Int)
        case trailingContent
    }

    public let reason: Reason
    /// Offset of the offending byte.
    public let offset: Int
    /// Line and column of the offending byte, from 1; the column counts bytes.
    public let line: Int
    public let column: Int

    public var description: String {
        let what =
            switch reason {
            case .unexpectedEnd: "the text ends too early"
            case .unexpectedByte(let byte, let expected):
                "found \(JSONParseError.show(byte)) where \(expected) should stand"
            case .invalidNumber: "not a valid number"
            case .invalidEscape: "not a valid escape in a string"
            case .invalidUTF8: "not valid UTF-8"
            case .controlCharacter: "an unescaped control character in a string"
            case .duplicateKey(let key): "the key \"\(key)\" stands twice in one object"
            case .equivalentKey(let key):
                "the key \"\(key)\" differs only in how a character is written from another one of its object"
            case .tooDeep(let limit): "nested more than \(limit) levels deep"
            case .trailingContent: "more text after the end of the document"
            }
        return "\(what) (line \(line), column \(column))"
    }

    private static func show(_ byte: UInt8) -> String {
        (0x21...0x7e).contains(byte) ? "'\(Character(Unicode.Scalar(byte)))'" : "byte 0x\(String(byte, radix: 16))"
    }
}
