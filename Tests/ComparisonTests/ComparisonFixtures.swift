import Comparison
import Foundation
import LosslessJSON
import SystemPackage
import TestSupport
import Testing

/// Tensors in every two encodings and what numpy says about them (Tests/Fixtures/comparison/make_comparison.py).
enum ComparisonFixtures {
    static let directory = PackageFiles.root.appendingPathComponent("Tests/Fixtures/comparison")

    static func path(_ name: String) -> FilePath { FilePath(directory.appendingPathComponent(name).path) }

    static func model(_ name: String) throws -> ComparedModel { try ComparedModel(path: path(name)) }

    static func expected() throws -> JSONValue { try PackageFiles.json("Tests/Fixtures/comparison/expected.json") }

    /// The differences between two fixtures, by name.
    static func differences(
        _ a: String, _ b: String, _ options: ComparisonOptions = ComparisonOptions()
    ) throws -> [String: TensorDifference] {
        let difference = try ModelComparer(model(a), model(b), options: options).run()
        return Dictionary(uniqueKeysWithValues: difference.tensors.map { ($0.name, $0) })
    }
}

/// Whether two numbers are the same but for rounding, or both missing.
func isClose(_ left: Double?, _ right: Double?, relative: Double = 1e-12, absolute: Double = 0) -> Bool {
    guard let left, let right else { return left == nil && right == nil }
    return abs(left - right) <= max(relative * max(abs(left), abs(right)), absolute)
}
