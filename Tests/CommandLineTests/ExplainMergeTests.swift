import Foundation
import LosslessJSON
import TestSupport
import Testing

/// `qconv explain-merge` through the built binary.
@Suite struct ExplainMergeTests {
    private let workspace: Workspace

    init() throws {
        workspace = try Workspace()
    }

    private static func fixture(_ name: String) -> String {
        PackageFiles.root.appendingPathComponent("Tests/Fixtures/forensics/\(name)").path
    }

    private func merge(_ base: String, _ steps: String, output: String = "out") throws -> String {
        let spec = try workspace.spec(
            input: base, steps: TinyLlama.attach(200) + ", " + steps, output: #"{"path": "\#(output)"}"#)
        let run = try QConvRun(["pipeline", spec, "--quiet", "--force"])
        try #require(run.status == 0, "\(run.errors)")
        return workspace.path(output)
    }

    /// The conclusion, whatever the width of the lines.
    private func conclusion(_ run: QConvRun) -> String {
        run.output.replacingOccurrences(of: "\n", with: " ")
    }

    private func explain(_ arguments: [String]) throws -> QConvRun { try QConvRun(["explain-merge"] + arguments) }

    @Test(arguments: [
        (TinyLlama.base16Bit, #"{"op": "dequantize-merge", "dtype": "bf16"}"#, "out"),
        (TinyLlama.base16Bit, #"{"op": "dequantize-merge", "dtype": "f32"}"#, "out"),
        (TinyLlama.base4Bit, #"{"op": "dequantize-merge", "dtype": "bf16"}"#, "out"),
        (TinyLlama.base4Bit, #"{"op": "dequantize-merge", "dtype": "f16"}"#, "out"),
        (TinyLlama.base4Bit, #"{"op": "merge-in-4bit", "rounding": "stochastic"}"#, "out"),
        (TinyLlama.base4Bit, #"{"op": "merge-in-4bit", "rounding": "stochastic", "seed": 5}"#, "out.nf4"),
        (TinyLlama.base4Bit, #"{"op": "merge-in-4bit", "rounding": "auto"}"#, "out"),
    ])
    func rightMergesOfTinyLlama(base: String, step: String, output: String) throws {
        let out = try merge(base, step, output: output)
        let run = try explain([base, out, TinyLlama.adapter(200)])
        #expect(run.status == 0, "\(run.output)\(run.errors)")
        #expect(run.output.hasSuffix("The merge is right: all 28 modules hold their update as configured.\n"))
        #expect(run.errors.isEmpty)
        #expect(run.output.split(separator: "\n").allSatisfy { $0.count <= 100 })
    }

    @Test func nearestRoundingInFourBitsIsNamed() throws {
        let out = try merge(TinyLlama.base4Bit, #"{"op": "merge-in-4bit", "rounding": "nearest", "scales": "fresh"}"#)
        let run = try explain([TinyLlama.base4Bit, out, TinyLlama.adapter(200)])
        #expect(run.status == 1)
        #expect(conclusion(run).contains("rounding to the nearest value erased the update"))
        #expect(conclusion(run).contains("Merge in 4 bits with unbiased rounding (merge-in-4bit), or into 16 bits."))
    }

    /// Rounding would have changed the same values, but not by as much as the scaled update is off.
    @Test(arguments: [
        (0.89, #"{"op": "dequantize-merge", "dtype": "bf16"}"#), (0.7, #"{"op": "dequantize-merge", "dtype": "bf16"}"#),
        (0.89, #"{"op": "dequantize-merge", "dtype": "f32"}"#),
        (0.85, #"{"op": "merge-in-4bit", "rounding": "stochastic", "scales": "base"}"#),
    ])
    func aScaledMergeIsNoRounding(weight: Double, step: String) throws {
        #expect(try scaledModules(weight, step) == 28)
    }

    /// How many modules of TinyLlama are found to be scaled after a merge with a part of the update.
    private func scaledModules(_ weight: Double, _ step: String) throws -> Int? {
        let attach = #"{"op": "attach-adapter", "path": "\#(TinyLlama.adapter(200))", "weight": \#(weight)}"#
        let spec = try workspace.spec(
            input: TinyLlama.base4Bit, steps: attach + ", " + step, output: #"{"path": "out"}"#)
        try #require(try QConvRun(["pipeline", spec, "--quiet", "--force"]).status == 0)
        let run = try explain([TinyLlama.base4Bit, workspace.path("out"), TinyLlama.adapter(200), "--json"])
        return try JSONValue(parsing: run.output)["summary"]?["verdicts"]?["scaled"]?.int
    }

    @Test func theBaseItselfMissesEveryUpdate() throws {
        for base in [TinyLlama.base4Bit, TinyLlama.base16Bit] {
            let run = try explain([base, base, TinyLlama.adapter(50)])
            #expect(run.status == 1)
            #expect(run.output.hasSuffix("The merge is wrong in all 28 modules: the update is missing.\n"))
        }
    }

    @Test func anotherBaseIsSuspected() throws {
        let out = try merge(TinyLlama.base16Bit, #"{"op": "dequantize-merge", "dtype": "bf16"}"#)
        let run = try explain([TinyLlama.base4Bit, out, TinyLlama.adapter(200)])
        #expect(run.status == 1)
        #expect(conclusion(run).contains("Was the adapter merged onto another base"))
    }

    @Test(arguments: ["right", "doubled", "swapped", "norm-changed", "one-missing"])
    func documentsFollowTheirSchema(name: String) throws {
        let schema = try JSONSchema(PackageFiles.json("formats/explain-merge.schema.json"))
        let run = try explain([
            ExplainMergeTests.fixture("base.safetensors"), ExplainMergeTests.fixture("merged/\(name).safetensors"),
            ExplainMergeTests.fixture("adapters/plain"), "--json",
        ])
        let document = try JSONValue(parsing: run.output)
        #expect(schema.violations(in: document) == [])
        // The fixtures hold only what a merge changes.
        #expect(run.status == 1)
        #expect(document["verdict"]?["outcome"]?.string == "wrong")
        #expect(document["summary"]?["verdicts"]?["missing_tensor"]?.int == (name == "norm-changed" ? 12 : 13))
        #expect(document["tensors"]?.array?.count == 21)
    }

    @Test func aRightMergesDocumentFollowsItsSchema() throws {
        let out = try merge(TinyLlama.base16Bit, #"{"op": "dequantize-merge", "dtype": "bf16"}"#)
        let run = try explain([TinyLlama.base16Bit, out, TinyLlama.adapter(200), "--json"])
        let document = try JSONValue(parsing: run.output)
        let schema = try JSONSchema(PackageFiles.json("formats/explain-merge.schema.json"))
        #expect(schema.violations(in: document) == [])
        #expect(run.status == 0)
        #expect(document["verdict"]?["outcome"]?.string == "right")
    }

    @Test func renamesAndQuiet() throws {
        let out = try merge(TinyLlama.base16Bit, #"{"op": "dequantize-merge", "dtype": "bf16"}"#)
        let rule = ["--map", #"s/^model\.norm/model.norm/"#]
        #expect(try explain([TinyLlama.base16Bit, out, TinyLlama.adapter(200)] + rule).status == 2)
        let run = try explain([TinyLlama.base16Bit, out, TinyLlama.adapter(200), "--quiet"])
        #expect(run.status == 0)
        #expect(run.output.isEmpty && run.errors.isEmpty)
        let all = try explain([TinyLlama.base16Bit, out, TinyLlama.adapter(200), "--all"])
        #expect(all.output.contains("model.norm.weight"))
    }

    @Test(arguments: [
        (["nowhere", "base", "adapter"], "nowhere: cannot open"),
        (["base", "nowhere", "adapter"], "nowhere: cannot open"),
        (["base", "base", "nowhere"], "nowhere"),
        (["base", "base", "base"], "has no adapter_config.json"),
        (["adapter", "adapter", "adapter"], "give the base model first"),
        (["base", "base", "adapter", "--memory", "1KB"], "--memory: 1000 bytes are not enough"),
        (["base", "base", "adapter", "--json", "--quiet"], "only one of"),
        (["base", "base"], "Missing expected argument"),
    ])
    func badInput(arguments: [String], message: String) throws {
        let names = ["base": TinyLlama.base4Bit, "adapter": TinyLlama.adapter(50)]
        let run = try explain(arguments.map { names[$0] ?? $0 })
        #expect(run.status == 2)
        #expect(run.errors.contains(message), "\(run.errors)")
        #expect(run.output.isEmpty)
    }
}
