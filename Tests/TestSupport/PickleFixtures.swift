import Foundation
import LosslessJSON
import Testing

/// The files of Tests/Fixtures/pickles.
public enum PickleFixtures {
    public static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures/pickles")

    /// A file that must be read, and the safetensors file with the same tensors.
    public struct Good: Sendable, CustomTestStringConvertible {
        public let name: String
        public let file: URL
        public let expected: URL
        public var testDescription: String { name }
    }

    /// A file that must be refused, and what the message must contain.
    public struct Hostile: Sendable, CustomTestStringConvertible {
        public let name: String
        public let bytes: Data
        public let needles: [String]
        public var testDescription: String { name }
    }

    public static let good: [Good] = {
        let folder = directory.appendingPathComponent("good")
        return (json("good.json").object ?? [:]).compactMap { name, expected in
            expected.string.map {
                Good(
                    name: name, file: folder.appendingPathComponent(name + ".bin"),
                    expected: folder.appendingPathComponent($0 + ".safetensors"))
            }
        }
    }()

    public static let corpus: [Hostile] = ["code", "opcodes", "structure", "tensors", "containers"].flatMap { name in
        (json("corpus/\(name).json").array ?? []).compactMap { entry in
            guard let name = entry["name"]?.string, let needles = entry["needles"]?.array,
                let bytes = entry["bytes"]?.string.flatMap({ Data(base64Encoded: $0) })
            else { return nil }
            return Hostile(name: name, bytes: bytes, needles: needles.compactMap(\.string))
        }
    }

    /// A file as JSON; `null` when it cannot be read, which a test of the counts shows.
    private static func json(_ name: String) -> JSONValue {
        (try? JSONValue(parsing: Data(contentsOf: directory.appendingPathComponent(name)))) ?? .null
    }
}
