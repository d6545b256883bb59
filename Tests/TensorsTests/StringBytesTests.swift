import Tensors
import TestSupport
import Testing

@Suite struct StringBytesTests {
    private static let samples = [
        "", "a", "ab", "b", "é", "e\u{301}", "漢字", "😀", "layers.0.weight", "layers.10.weight",
    ]

    @Test func theOrderIsThatOfTheBytes() {
        var random = SeededGenerator(seed: 5)
        let strings =
            StringBytesTests.samples
            + (0..<60).map { _ in String(decoding: random.bytes(Int.random(in: 0...3, using: &random)), as: UTF8.self) }
        for left in strings {
            for right in strings {
                #expect(left.precedesByBytes(right) == Array(left.utf8).lexicographicallyPrecedes(Array(right.utf8)))
            }
        }
    }

    @Test func endsAreComparedByBytes() {
        for string in StringBytesTests.samples {
            for part in StringBytesTests.samples {
                for end in 0...string.utf8.count {
                    let expected = Array(string.utf8.prefix(end)).reversed().starts(with: part.utf8.reversed())
                    #expect(string.hasBytes(part, endingAt: end) == expected)
                }
                #expect(string.endsWithBytes(part) == Array(string.utf8).reversed().starts(with: part.utf8.reversed()))
            }
        }
        // Equal to Swift, but other bytes.
        #expect(!"é".endsWithBytes("e\u{301}"))
    }
}
