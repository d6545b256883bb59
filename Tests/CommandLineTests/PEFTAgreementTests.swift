import Foundation
import LosslessJSON
import TestSupport
import Testing

/// Merges beside those that PEFT and bitsandbytes made of the same files: of linear layers in every encoding
/// (Tests/Fixtures/merges), and of convolutions, `Conv1D`, experts and other shapes (Tests/Fixtures/adapter-shapes).
@Suite struct PEFTAgreementTests {
    private static let fixtures = PackageFiles.root.appendingPathComponent("Tests/Fixtures")

    private struct Case: CustomTestStringConvertible {
        let folder: String
        let value: JSONValue
        var testDescription: String { value["name"]?.string ?? "" }

        func url(_ key: String) -> URL {
            fixtures.appendingPathComponent(folder).appendingPathComponent(value[key]?.string ?? "")
        }

        /// Checks that the tensors which no change concerns are those of the base.
        func expectUntouched(_ actual: StoredTensors) throws {
            let base = try StoredTensors(url("base").appendingPathComponent("model.safetensors"))
            for name in (value["untouched"]?.array ?? []).compactMap(\.string) {
                #expect(try #require(actual[name]) == base[name], "\(self): \(name)")
            }
        }

        /// Runs the case's step and reads the result.
        func converted(in workspace: Workspace) throws -> StoredTensors {
            let step = try #require(value["step"]).serialized()
            let spec = try workspace.spec(
                input: url("base").path,
                steps: #"{"op": "attach-adapter", "path": "\#(url("adapter").path)"}, "# + step,
                output: #"{"path": "out.safetensors"}"#)
            let run = try QConvRun(["pipeline", spec, "--quiet"])
            try #require(run.status == 0, "\(run.errors)")
            return try StoredTensors(workspace["out.safetensors"])
        }
    }

    private static func cases(_ op: String) throws -> [Case] {
        try ["merges", "adapter-shapes"].flatMap { folder in
            let file = fixtures.appendingPathComponent(folder).appendingPathComponent("manifest.json")
            let cases = try JSONValue(parsing: Data(contentsOf: file))["cases"]?.array ?? []
            return cases.map { Case(folder: folder, value: $0) }.filter { $0.value["step"]?["op"]?.string == op }
        }
    }

    /// Compares every tensor that PEFT merged with ours.
    private func agreement(_ op: String, cases count: Int) throws -> MergeAgreement {
        var agreement = MergeAgreement()
        let cases = try PEFTAgreementTests.cases(op)
        #expect(cases.count >= count)
        for item in cases {
            let actual = try item.converted(in: try Workspace())
            try item.expectUntouched(actual)
            let expected = try StoredTensors(item.url("expected"))
            #expect(!expected.tensors.isEmpty)
            for (name, tensor) in expected.tensors {
                let ours = try #require(actual[name], "\(item): \(name)")
                try agreement.compare(ours, with: tensor, named: name, "\(item): \(name)")
            }
        }
        return agreement
    }

    @Test func nearestWithFreshScalesIsPEFTsMerge() throws {
        try agreement("merge-in-4bit", cases: 9).expectAgreement(codes: 100_000, values: -1)
    }

    @Test func dequantizeMergeIsPEFTsMerge() throws {
        try agreement("dequantize-merge", cases: 20).expectAgreement(codes: -1, values: 100_000)
    }
}
