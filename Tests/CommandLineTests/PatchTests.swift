import Foundation
import LosslessJSON
import TestSupport
import Testing

/// Patches made, applied and taken off by the built binary, with the real model and adapters in examples/.
@Suite struct PatchTests {
    private let workspace: Workspace

    init() throws {
        workspace = try Workspace()
    }

    private static let merge = #"{"op": "merge-in-4bit"}"#
    private static let mergeAsPEFT = #"{"op": "merge-in-4bit", "rounding": "nearest", "scales": "fresh"}"#

    /// Converts with an output and with `"format": "patch"` instead.
    private func makeBoth(_ steps: String, output: String = "", input: String = TinyLlama.base4Bit) throws {
        for (path, format) in [("full", ""), ("a.qpatch", #", "format": "patch""#)] {
            let spec = try workspace.spec(
                input: input, steps: steps, output: #"{"path": "\#(path)"\#(format)\#(output)}"#)
            try qconv("pipeline", spec, "--quiet", "--force")
        }
    }

    private func base(_ path: String = TinyLlama.base4Bit) throws -> [String: Data] {
        try Workspace.contents(of: URL(fileURLWithPath: path))
    }

    private func expectThereAndBack(_ input: String = TinyLlama.base4Bit) throws {
        try qconv("patch", "apply", input, workspace.path("a.qpatch"), workspace.path("out"), "--force")
        #expect(try workspace.contents(of: "out") == workspace.contents(of: "full"))
        try qconv(
            "patch", "revert", workspace.path("full"), workspace.path("a.qpatch"), workspace.path("back"), "--force")
        #expect(try workspace.contents(of: "back") == base(input))
    }

    /// The four adapters of the example: patches are small, and both ways lead to the same bytes as the pipeline's.
    @Test(arguments: [(50, 24), (100, 14), (150, 12), (200, 11)])
    func aMergeIsRestoredBitForBit(step: Int, timesSmaller: Int) throws {
        try makeBoth(TinyLlama.attach(step) + ", " + PatchTests.merge)
        try expectThereAndBack()
        let patch = try Data(contentsOf: workspace["a.qpatch"]).count
        let full = try workspace.contents(of: "full").values.reduce(0) { $0 + $1.count }
        #expect(patch * timesSmaller < full)

        try qconv("patch", "create", TinyLlama.base4Bit, workspace.path("full"), workspace.path("b.qpatch"))
        #expect(try Data(contentsOf: workspace["b.qpatch"]) == Data(contentsOf: workspace["a.qpatch"]))
    }

    /// Fresh scales change everything: scales, quant states, and the layout of the file.
    @Test func aMergeWithFreshScalesIsRestoredBitForBit() throws {
        try makeBoth(TinyLlama.attach(200) + ", " + PatchTests.mergeAsPEFT)
        try expectThereAndBack()
    }

    @Test func shardsAreRestoredBitForBit() throws {
        try makeBoth(TinyLlama.attach(50) + ", " + PatchTests.merge, output: #", "max_shard_size": "300KB""#)
        #expect(try workspace.names(in: "full").contains("model.safetensors.index.json"))
        try expectThereAndBack()
    }

    @Test func denseModelsHavePatchesToo() throws {
        try makeBoth(
            TinyLlama.attach(50) + #", {"op": "dequantize-merge", "dtype": "bf16"}"#, input: TinyLlama.base16Bit)
        try expectThereAndBack(TinyLlama.base16Bit)
        let patch = try Data(contentsOf: workspace["a.qpatch"]).count
        let full = try Data(contentsOf: workspace["full/model.safetensors"]).count
        #expect(patch < full / 2)
    }

    @Test func threadsDoNotMatter() throws {
        let spec = try workspace.spec(
            input: TinyLlama.base4Bit, steps: TinyLlama.attach(100) + ", " + PatchTests.merge,
            output: #"{"path": "a.qpatch"}"#)
        let patches = try ["1", "2", "5"].map { threads in
            try qconv("pipeline", spec, "--quiet", "--force", "--threads", threads)
            return try Data(contentsOf: workspace["a.qpatch"])
        }
        #expect(patches.allSatisfy { $0 == patches[0] })
    }

    @Test func aWrongBaseIsRefusedByWhatDiffers() throws {
        try makeBoth(TinyLlama.attach(50) + ", " + PatchTests.merge)
        func refusal(_ arguments: [String], _ text: String) throws {
            let run = try QConvRun(["patch"] + arguments + [workspace.path("out")])
            #expect(run.status == 2)
            #expect(run.errors.contains(text), "\(run.errors)")
            #expect(!workspace.exists("out"))
            #expect(try !workspace.names().contains { $0.hasSuffix("qconv-partial") })
        }
        let patch = workspace.path("a.qpatch")
        try refusal(["apply", workspace.path("full"), patch], "what the patch makes already")
        try refusal(["revert", TinyLlama.base4Bit, patch], "nothing to take off")
        try refusal(["apply", TinyLlama.base16Bit, patch], "model.layers.0.mlp.down_proj.weight.nested_absmax")
        try FileManager.default.copyItem(atPath: TinyLlama.base4Bit, toPath: workspace.path("other"))
        var weights = try Data(contentsOf: workspace["other/model.safetensors"])
        weights[weights.count - 100_000] ^= 1
        try weights.write(to: workspace["other/model.safetensors"])
        try refusal(["apply", workspace.path("other"), patch], "(1 of 178 stored tensors)")
        try Data(contentsOf: URL(fileURLWithPath: TinyLlama.base4Bit + "/model.safetensors"))
            .write(to: workspace["other/model.safetensors"])
        try FileManager.default.removeItem(at: workspace["other/tokenizer.json"])
        try refusal(["apply", workspace.path("other"), patch], "its tokenizer.json is missing")

        var damaged = try Data(contentsOf: workspace["a.qpatch"])
        damaged[1000] ^= 1
        try damaged.write(to: workspace["damaged.qpatch"])
        try refusal(["apply", TinyLlama.base4Bit, workspace.path("damaged.qpatch")], "are damaged")
        #expect(try QConvRun(["verify", workspace.path("damaged.qpatch")]).status == 1)
        #expect(try qconv("verify", patch).output.contains("whole"))
        try refusal(["apply", TinyLlama.base4Bit, TinyLlama.base4Bit + "/config.json"], "is no patch")
    }

    /// A patch makes safetensors, which hold no adapter that waits to be merged.
    @Test func anUnmergedAdapterIsNotDropped() throws {
        try makeBoth(TinyLlama.attach(50) + ", " + PatchTests.merge)
        let spec = try workspace.spec(
            input: TinyLlama.base4Bit, steps: TinyLlama.attach(200), output: #"{"path": "with-adapter.nf4"}"#)
        try qconv("pipeline", spec, "--quiet")
        let run = try QConvRun([
            "patch", "apply", workspace.path("with-adapter.nf4"), workspace.path("a.qpatch"), workspace.path("out"),
        ])
        #expect(run.status == 2)
        #expect(run.errors.contains("checkpoint-200 is in it, not merged"), "\(run.errors)")
        #expect(!workspace.exists("out"))
        try qconv("convert", TinyLlama.base4Bit, workspace.path("base.nf4"), "--quiet")
        try qconv("patch", "apply", workspace.path("base.nf4"), workspace.path("a.qpatch"), workspace.path("out"))
    }

    @Test func outputsAreNotOverwritten() throws {
        try makeBoth(TinyLlama.attach(50) + ", " + PatchTests.merge)
        let patch = workspace.path("a.qpatch")
        let existing = try QConvRun(["patch", "apply", TinyLlama.base4Bit, patch, workspace.path("full")])
        #expect(existing.status == 2)
        #expect(existing.errors.contains("--force"))
        let onInput = try QConvRun([
            "patch", "revert", workspace.path("full"), patch, workspace.path("full"), "--force",
        ])
        #expect(onInput.status == 2)
        #expect(onInput.errors.contains("the output is the input"))
    }

    @Test func whatMakesNoPatchIsRefusedByName() throws {
        func refusal(_ input: String, _ steps: String, _ output: String, _ text: String) throws {
            let run = try QConvRun([
                "pipeline", try workspace.spec(input: input, steps: steps, output: output), "--plan",
            ])
            #expect(run.status == 2)
            #expect(run.errors.contains(text), "\(run.errors)")
        }
        let patch = #"{"path": "a.qpatch"}"#
        try refusal(TinyLlama.base16Bit, #"{"op": "quantize"}"#, patch, "a patch would be as large as the model")
        let pickles = PickleFixtures.directory.appendingPathComponent("model/one-file").path
        try refusal(
            pickles, #"{"op": "cast", "dtype": "f32"}"#, patch,
            "a patch lies between checkpoints in safetensors; convert it first: qconv convert \(pickles) DIRECTORY")
        for models in [[pickles, TinyLlama.base16Bit], [TinyLlama.base16Bit, pickles]] {
            let run = try QConvRun(["patch", "create"] + models + [workspace.path("a.qpatch")])
            #expect(run.status == 2)
            #expect(run.errors.contains("\(pickles): has PyTorch's files, and a patch lies between"), "\(run.errors)")
        }
        try refusal(TinyLlama.base4Bit, #"{"op": "dequantize"}"#, patch, "(nf4+dq there, bf16 here)")
        try refusal(TinyLlama.base4Bit, TinyLlama.attach(50), patch, "attached but not merged")
        try refusal(
            TinyLlama.base4Bit, "", #"{"path": "a.safetensors", "format": "patch"}"#, "let it end in .qpatch")
        try refusal(TinyLlama.base4Bit, "", #"{"path": "a.nf4", "format": "patch"}"#, "is a container's")
        try refusal(
            TinyLlama.base4Bit, "", #"{"path": "a.qpatch", "compression": "zlib"}"#, "goes with containers")
        try qconv("convert", TinyLlama.base4Bit, workspace.path("model.nf4"), "--quiet")
        try refusal(workspace.path("model.nf4"), "", patch, "unpack it first")
        let convert = try QConvRun(["convert", TinyLlama.base4Bit, workspace.path("a.qpatch")])
        #expect(convert.status == 2)
        #expect(convert.errors.contains("qconv patch create"))
    }

    @Test func inspectTellsWhatAPatchHolds() throws {
        try makeBoth(TinyLlama.attach(50) + ", " + PatchTests.merge)
        let text = try qconv("inspect", workspace.path("a.qpatch")).output
        #expect(text.contains("28 of 178 stored tensors change"))
        let json = try JSONValue(parsing: qconv("inspect", workspace.path("a.qpatch"), "--json").output)
        #expect(json["kind"] == "patch")
        #expect(json["changed_tensors"]?.array?.count == 28)
        #expect(json["base"]?["sha256"]?.string?.count == 64)
        #expect(json["base"]?["sha256"] != json["target"]?["sha256"])
        let asModel = try QConvRun(["inspect", workspace.path("a.qpatch"), "model.norm.weight"])
        #expect(asModel.status == 2)
        // A patch is no model, and the message says how to get one.
        let input = try QConvRun(["convert", workspace.path("a.qpatch"), workspace.path("out")])
        #expect(input.status == 2)
        #expect(input.errors.contains("qconv patch apply"))
    }
}
