import Foundation
import LosslessJSON
import TestSupport
import Testing

/// Every kind of change that PEFT's LoRA saves, merged into a tiny Llama, beside PEFT's own merged models
/// (Tests/Fixtures/adapter-kinds).
@Suite struct AdapterKindsTests {
    private static let fixtures = PackageFiles.root.appendingPathComponent("Tests/Fixtures/adapter-kinds")

    /// A merge that PEFT made.
    struct Case: CustomTestStringConvertible, Sendable {
        let value: JSONValue
        var name: String { value["name"]?.string ?? "" }
        var testDescription: String { name }

        func url(_ key: String) -> URL { fixtures.appendingPathComponent(value[key]?.string ?? "") }

        /// Runs the merge with the given step, into the directory `out` of a workspace.
        func run(in workspace: Workspace, mergeStep: String, arguments: [String] = []) throws -> QConvRun {
            let cast = value["dtype"]?.string.map { [#"{"op": "cast", "dtype": "\#($0)"}"#] } ?? []
            let attach = (value["adapters"]?.array ?? []).compactMap(\.string).map {
                #"{"op": "attach-adapter", "path": "\#(fixtures.appendingPathComponent($0).path)"}"#
            }
            let spec = try workspace.spec(
                input: url("base").path, steps: (cast + attach + [mergeStep]).joined(separator: ", "))
            return try QConvRun(["pipeline", spec, "--quiet"] + arguments)
        }

        /// PEFT's way of merging: as it is for dense weights, nearest with fresh scales for those in 4 bits.
        var mergeStep: String {
            (value["base"]?.string ?? "").contains("nf4")
                ? #"{"op": "merge-in-4bit", "rounding": "nearest", "scales": "fresh"}"#
                : #"{"op": "dequantize-merge"}"#
        }
    }

    static let cases: [Case] = {
        let url = fixtures.appendingPathComponent("manifest.json")
        let manifest = try? JSONValue(parsing: Data(contentsOf: url))
        return (manifest?["cases"]?.array ?? []).map(Case.init)
    }()

    @Test func mergesAreThoseOfPEFT() throws {
        var agreement = MergeAgreement()
        #expect(AdapterKindsTests.cases.count >= 40)
        for item in AdapterKindsTests.cases {
            let workspace = try Workspace()
            let run = try item.run(in: workspace, mergeStep: item.mergeStep)
            guard run.status == 0 else {
                Issue.record("\(item.name): \(run.errors)")
                continue
            }
            let actual = try StoredTensors(workspace["out/model.safetensors"])
            let expected = try StoredTensors(item.url("expected"))
            let base = try StoredTensors(item.url("base").appendingPathComponent("model.safetensors"))
            #expect(
                actual.tensors.keys.sorted() == (item.value["names"]?.array ?? []).compactMap(\.string), "\(item.name)")
            for (name, tensor) in actual.tensors {
                let place = "\(item.name): \(name)"
                if let theirs = expected[name] {
                    try agreement.compare(tensor, with: theirs, named: name, place)
                    continue
                }
                switch item.value["dtype"] {
                case "f32": #expect(tensor.floats == base[name]?.floats, "\(place)")
                case "f16": #expect(tensor.floats == base[name]?.floats.map { Float(Float16($0)) }, "\(place)")
                default: #expect(tensor == base[name], "\(place)")
                }
            }
            let config = try JSONValue(parsing: Data(contentsOf: workspace["out/config.json"]))
            for key in ["vocab_size", "tie_word_embeddings"] {
                #expect(config[key] == item.value[key], "\(item.name): \(key)")
            }
        }
        agreement.expectAgreement(codes: 20_000, values: 50_000)
    }
}
