import Foundation
import LosslessJSON
import SystemPackage
import Testing

/// The files of Tests/Fixtures/pickles.
enum PickleFixtures {
    static let directory = Fixtures.directory.removingLastComponent().appending("pickles")

    /// A file that must be read, and the safetensors file with the same tensors.
    struct Good: Sendable, CustomTestStringConvertible {
        let name: String
        let file: FilePath
        let expected: FilePath
        var testDescription: String { name }
    }

    /// A file that must be refused, and what the message must contain.
    struct Hostile: Sendable, CustomTestStringConvertible {
        let name: String
        let bytes: [UInt8]
        let needles: [String]
        var testDescription: String { name }
    }

    static let good: [Good] = {
        let index = try? JSONValue(parsing: contents(directory.appending("good.json"))).object
        return (index ?? [:]).compactMap { name, expected in
            expected.string.map {
                Good(
                    name: name, file: directory.appending("good").appending(name + ".bin"),
                    expected: directory.appending("good").appending($0 + ".safetensors"))
            }
        }
    }()

    static let corpus: [Hostile] = {
        let lists = ["code", "opcodes", "structure", "tensors", "containers"].map { name in
            try? JSONValue(parsing: contents(directory.appending("corpus").appending(name + ".json"))).array
        }
        return lists.flatMap { $0 ?? [] }.compactMap { entry in
            guard let name = entry["name"]?.string, let needles = entry["needles"]?.array,
                let bytes = entry["bytes"]?.string.flatMap({ Data(base64Encoded: $0) })
            else { return nil }
            return Hostile(name: name, bytes: Array(bytes), needles: needles.compactMap(\.string))
        }
    }()
}
