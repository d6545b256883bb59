import Foundation
import LosslessJSON
import Testing

/// Merges beside those that PEFT and bitsandbytes made of the same files: of linear layers in every encoding
/// (Tests/Fixtures/merges), and of convolutions, `Conv1D`, experts and other shapes (Tests/Fixtures/adapter-shapes).
@Suite struct PEFTAgreementTests {
    private static let fixtures = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures")

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

    @Test func nearestWithFreshScalesIsPEFTsMerge() throws {
        var codes = 0
        var different = 0
        let cases = try PEFTAgreementTests.cases("merge-in-4bit")
        #expect(cases.count >= 9)
        for item in cases {
            let actual = try item.converted(in: try Workspace())
            try item.expectUntouched(actual)
            let expected = try StoredTensors(item.url("expected"))
            #expect(!expected.tensors.isEmpty)
            for (name, tensor) in expected.tensors {
                let ours = try #require(actual[name], "\(item): \(name)")
                if name.contains("quant_state") {
                    try expectSameState(ours, tensor, "\(item): \(name)")
                    continue
                }
                #expect(ours.dtype == tensor.dtype && ours.shape == tensor.shape, "\(item): \(name)")
                if tensor.dtype == "U8", !name.hasSuffix("absmax") {
                    codes += tensor.codes.count
                    different += differences(ours.codes, tensor.codes)
                } else if name.hasSuffix("absmax"), tensor.dtype == "F32" {
                    // The order of additions inside B·A moves the largest value of a block by its last bits.
                    #expect(
                        zip(ours.floats, tensor.floats).allSatisfy { abs($0 - $1) <= 1e-6 * abs($1) + 1e-9 },
                        "\(item): \(name)")
                } else if name.hasSuffix("absmax") {
                    #expect(
                        differences(Array(ours.data), Array(tensor.data)) * 100 <= tensor.data.count, "\(item): \(name)"
                    )
                } else {
                    #expect(ours == tensor, "\(item): \(name)")
                }
            }
        }
        #expect(codes > 100_000)
        #expect(different * 100_000 <= codes, "\(different) of \(codes) codes differ")
    }

    /// Quant states are equal but for the last bits of the mean behind `nested_offset`.
    private func expectSameState(
        _ ours: StoredTensors.Tensor, _ theirs: StoredTensors.Tensor, _ place: String
    ) throws {
        var ourState = try JSONValue(parsing: ours.data)
        var theirState = try JSONValue(parsing: theirs.data)
        if let a = ourState["nested_offset"]?.double, let b = theirState["nested_offset"]?.double {
            #expect(abs(a - b) <= 2e-7 * abs(b), "\(place)")
        }
        ourState["nested_offset"] = nil
        theirState["nested_offset"] = nil
        #expect(ourState == theirState, "\(place)")
    }

    @Test func dequantizeMergeIsPEFTsMerge() throws {
        var elements = 0
        var different = 0
        let cases = try PEFTAgreementTests.cases("dequantize-merge")
        #expect(cases.count >= 20)
        for item in cases {
            let actual = try item.converted(in: try Workspace())
            try item.expectUntouched(actual)
            let expected = try StoredTensors(item.url("expected"))
            for (name, tensor) in expected.tensors {
                let ours = try #require(actual[name], "\(item): \(name)")
                #expect(ours.dtype == tensor.dtype && ours.shape == tensor.shape, "\(item): \(name)")
                if tensor.dtype == "F32" {
                    #expect(
                        zip(ours.floats, tensor.floats).allSatisfy { abs($0 - $1) <= 2e-6 * max(abs($1), 0.05) },
                        "\(item): \(name)")
                } else {
                    elements += tensor.floats.count
                    different += differences(ours.floats, tensor.floats)
                }
            }
        }
        #expect(elements > 100_000)
        #expect(different * 100_000 <= elements, "\(different) of \(elements) values differ")
    }
}
