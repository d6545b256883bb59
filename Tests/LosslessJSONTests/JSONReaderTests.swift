import LosslessJSON
import Testing

@Suite struct JSONReaderTests {
    @Test func readsTokensInOrder() throws {
        var reader = JSONReader(bytes: Array(#" {"a": [1, 2], "b": "x", "a": {"n": null}} "#.utf8))
        var seen: [String] = []
        #expect(reader.nextKind == "an object")
        try reader.readObject { key, reader in
            seen.append("\(key): \(reader.nextKind ?? "?")")
            if reader.nextKind == "a list" {
                try reader.readArray { seen.append(try $0.readNumber().text) }
            } else {
                seen.append(try reader.readValue().serialized())
            }
        }
        try reader.finish()
        #expect(seen == ["a: a list", "1", "2", "b: a string", #""x""#, "a: an object", #"{"n":null}"#])
    }

    @Test func refusesOtherKindsAndRests() throws {
        #expect(throws: JSONParseError.self) {
            var reader = JSONReader(bytes: Array("[1]".utf8))
            try reader.readObject { _, _ in }
        }
        #expect(throws: JSONParseError.self) {
            var reader = JSONReader(bytes: Array("[x]".utf8))
            try reader.readArray { _ = try $0.readNumber() }
        }
        #expect(throws: JSONParseError.self) {
            var reader = JSONReader(bytes: Array("{} x".utf8))
            try reader.readObject { _, _ in }
            try reader.finish()
        }
    }

    @Test func stopsAtTheFirstErrorOfTheCaller() throws {
        struct Stop: Error {}
        var count = 0
        #expect(throws: Stop.self) {
            var reader = JSONReader(bytes: Array("[1,2,3]".utf8))
            try reader.readArray { reader in
                count += 1
                _ = try reader.readNumber()
                if count == 2 { throw Stop() }
            }
        }
        #expect(count == 2)
    }

    /// Whatever follows, an integer is what the number's text says; other numbers are none.
    @Test(arguments: [
        ("0", 0), ("7", 7), ("4096", 4096), ("9223372036854775807", Int.max), ("9223372036854775808", nil), ("-3", -3),
        ("1.0", nil), ("1e3", nil), ("99999999999999999999999999999999999999", nil),
    ])
    func integersAreRead(text: String, expected: Int?) throws {
        for (before, after) in [("[", "]"), ("[", ",1]"), ("[ ", " ]"), ("{\"a\":", "}")] {
            var reader = JSONReader(bytes: Array((before + text + after).utf8))
            var found: [Int?] = []
            if before.hasPrefix("[") {
                try reader.readArray { found.append(try $0.readInteger()) }
            } else {
                try reader.readObject { _, reader in found.append(try reader.readInteger()) }
            }
            try reader.finish()
            #expect(found.first == expected)
        }
    }

    @Test(arguments: ["[01]", "[-]", "[1.]", "[x]", "[12", "[1 2]", "[\"1\"]"])
    func whatIsNoNumberIsRefused(text: String) {
        #expect(throws: JSONParseError.self) {
            var reader = JSONReader(bytes: Array(text.utf8))
            try reader.readArray { _ = try $0.readInteger() }
            try reader.finish()
        }
    }
}
