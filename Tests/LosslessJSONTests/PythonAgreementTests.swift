import Foundation
import LosslessJSON
import Testing

private func fixture(_ name: String) throws -> String {
    let directory = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../Fixtures/json")
    return try String(contentsOf: directory.appending(path: name), encoding: .utf8)
}

@Suite struct PythonAgreementTests {
    @Test func doublesPrintAsPythonPrintsThem() throws {
        let lines = try fixture("python-repr.txt").split(separator: "\n")
        #expect(lines.count == 1500)
        for line in lines {
            let parts = line.split(separator: " ")
            let bits = try #require(UInt64(parts[0], radix: 16))
            let value = Double(bitPattern: bits)
            #expect(pythonRepr(value) == parts[1])
            #expect(Double(pythonRepr(value))?.bitPattern == value.bitPattern)
        }
    }

    @Test(arguments: [
        ("one-line.json", JSONLayout.pythonOneLine), ("indented.json", .pythonIndented), ("compact.json", .compact),
    ])
    func layoutsReproducePythonsBytes(name: String, layout: JSONLayout) throws {
        let text = try fixture(name)
        #expect(Array(try JSONValue(parsing: text).serialized(layout).utf8) == Array(text.utf8))
    }

    @Test func layoutsOfOneDocumentParseToTheSameValue() throws {
        let values = try ["one-line.json", "indented.json", "compact.json"].map { try JSONValue(parsing: fixture($0)) }
        #expect(values[0] == values[1] && values[1] == values[2])
        #expect(try JSONValue(parsing: values[0].serialized(.pretty)) == values[0])
    }

    @Test func pythonConstantsAreReadOnlyWhenAllowed() throws {
        let text = #"{"a": [0.0, Infinity, -Infinity, NaN, -1]}"#
        #expect(throws: JSONParseError.self) { try JSONValue(parsing: text) }
        let value = try JSONValue(parsing: Array(text.utf8), allowsPythonConstants: true)
        #expect(value.serialized(.pythonOneLine) == text)
        let elements = try #require(value["a"]?.array)
        let numbers = elements.compactMap(\.double)
        #expect(numbers[1] == .infinity && numbers[2] == -.infinity && numbers[3].isNaN && numbers[4] == -1)
    }
}
