import LosslessJSON
import TestSupport
import Testing

@Suite struct ParsingTests {
    @Test(arguments: [
        "null", "true", "false", "0", "-0", "12", "-1.5", "1e5", "1E+05", "2.50e-10", #""""#, #""a""#, "[]", "{}",
        "[1,[2,[3]]]", #"{"a":{"b":[null]}}"#,
    ])
    func validDocumentsComeBackUnchanged(text: String) throws {
        #expect(try JSONValue(parsing: text).serialized(.compact) == text)
    }

    @Test(arguments: [
        "", " ", "nul", "True", "01", "-", "1.", ".5", "1e", "1e+", "+1", "0x10", "NaN", "Infinity", "[1,]", "[,1]",
        "[1 2]", #"{"a":1,}"#, #"{"a" 1}"#, "{a:1}", #"{"a"}"#, #"{1:2}"#, #"""#, #""\x""#, #""\u12"#, #""\u12g4""#,
        #""\ud800""#, #""\udc00""#, #""\ud800\u0041""#, "\"\n\"", "\"\u{0}\"", "1 2", "{} {}", "[", "{", "]", "}",
        "// a\n1", "'a'", "[1]]", "--1", "\u{FEFF}1",
    ])
    func invalidDocumentsAreRefused(text: String) {
        #expect(throws: JSONParseError.self) { try JSONValue(parsing: text) }
    }

    @Test func invalidUTF8IsRefused() {
        for bytes: [UInt8] in [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xe2, 0x82]] {
            #expect(throws: JSONParseError.self) { try JSONValue(parsing: [0x22] + bytes + [0x22]) }
            #expect(throws: JSONParseError.self) { try JSONValue(parsing: [0x22, 0x5c, 0x6e] + bytes + [0x22]) }
        }
    }

    @Test func escapesAreDecoded() throws {
        let value = try JSONValue(parsing: #""\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00é""#)
        #expect(value == .string("\"\\/\u{08}\u{0C}\n\r\tA\u{e9}😀é"))
    }

    @Test func duplicateKeysAreNamed() throws {
        let error = #expect(throws: JSONParseError.self) { try JSONValue(parsing: "{\"a\": 1,\n \"\\u0061\": 2}") }
        #expect(error?.reason == .duplicateKey("a"))
        #expect(error?.line == 2 && error?.column == 2)
    }

    @Test func errorsSayWhere() throws {
        let error = #expect(throws: JSONParseError.self) { try JSONValue(parsing: "{\n  \"a\": [1,\n  x]\n}") }
        #expect(error?.description == "found 'x' where a value should stand (line 3, column 3)")
    }

    @Test func numbersKeepTheirText() throws {
        let text = #"{"max":1000000000000000019884624838656,"eps":1e-06,"one":1.0}"#
        let value = try JSONValue(parsing: text)
        #expect(value.serialized(.compact) == text)
        #expect(value["max"]?.int == nil && value["eps"]?.double == 1e-6 && value["one"]?.int == nil)
        #expect(value["one"]?.double == 1)
    }

    @Test func nestingIsLimited() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(throws: Never.self) { try JSONValue(parsing: nested(128)) }
        #expect(throws: JSONParseError.self) { try JSONValue(parsing: nested(129)) }
        #expect(throws: JSONParseError.self) { try JSONValue(parsing: String(repeating: "[", count: 1_000_000)) }
        // Siblings do not count.
        #expect(throws: Never.self) {
            try JSONValue(parsing: "[" + Array(repeating: "[{}]", count: 1000).joined(separator: ",") + "]")
        }
    }

    @Test func editsKeepOrder() throws {
        var value = try JSONValue(parsing: #"{"b":1,"a":2,"c":3}"#)
        value["a"] = "new"
        value["b"] = nil
        value["d"] = 4
        #expect(value.serialized() == #"{"a":"new","c":3,"d":4}"#)
    }

    /// Random bytes and random damage to a valid document either parse, and then survive a round trip, or throw.
    @Test func damagedDocumentsNeverTrap() throws {
        let seed = #"{"a": [1, -2.5e3, "x\u00e9\n", null, true, {"b": {}}], "longer key": "😀", "c": 1e-06}"#
        var random = SeededGenerator(seed: 1)
        for _ in 0..<20000 {
            var bytes = Array(seed.utf8)
            for _ in 0...random.below(3) {
                let place = random.below(bytes.count)
                switch random.below(3) {
                case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes.remove(at: place)
                default: bytes.insert(Array("{}[]\",:\\0-eu".utf8)[random.below(12)], at: place)
                }
            }
            guard let value = try? JSONValue(parsing: bytes, allowsPythonConstants: random.below(2) == 0) else {
                continue
            }
            for layout in [JSONLayout.compact, .pythonOneLine, .pythonIndented, .pretty] {
                let text = value.serialized(layout)
                let again = try JSONValue(parsing: Array(text.utf8), allowsPythonConstants: true)
                #expect(again == value)
            }
        }
    }
}
