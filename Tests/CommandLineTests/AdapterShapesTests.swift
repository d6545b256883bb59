import Foundation
import LosslessJSON
import Testing

/// Adapters whose modules are no plain matrices, beyond what `PEFTAgreementTests` compares with PEFT.
@Suite struct AdapterShapesTests {
    private static let fixtures = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures/adapter-shapes")

    private let workspace: Workspace

    init() throws {
        workspace = try Workspace()
    }

    private static func base(_ name: String) -> String { fixtures.appendingPathComponent("bases/\(name)").path }

    private static func attach(_ name: String) -> String {
        #"{"op": "attach-adapter", "path": "\#(fixtures.appendingPathComponent("adapters/\(name)").path)"}"#
    }

    private func expectRefusal(
        _ base: String, _ steps: String, output: String = #"{"path": "out"}"#, arguments: [String] = [],
        saying phrases: String...,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let spec = try workspace.spec(input: Self.base(base), steps: steps, output: output)
        let run = try QConvRun(["pipeline", spec] + arguments)
        #expect(run.status == 2, "\(run.errors)", sourceLocation: sourceLocation)
        for phrase in phrases {
            #expect(run.errors.contains(phrase), "\(run.errors)", sourceLocation: sourceLocation)
        }
        #expect(try workspace.names() == ["spec.json"], sourceLocation: sourceLocation)
    }

    private let merge = #"{"op": "dequantize-merge"}"#

    // MARK: - Replicated layers

    @Test func theConfigurationFollowsReplicatedLayers() throws {
        let spec = try workspace.spec(
            input: Self.base("llama-nf4"), steps: Self.attach("replicated") + #", {"op": "merge-in-4bit"}"#)
        let run = try QConvRun(["pipeline", spec, "--quiet"])
        try #require(run.status == 0, "\(run.errors)")
        let config = try JSONValue(parsing: Data(contentsOf: workspace["out/config.json"]))
        #expect(config["num_hidden_layers"]?.int == 4)
        let stored = try StoredTensors(workspace["out/model.safetensors"])
        for layer in 0..<4 { #expect(stored["model.layers.\(layer).self_attn.q_proj.weight"] != nil) }
        #expect(stored["model.layers.4.self_attn.q_proj.weight"] == nil)
        // What the adapter leaves alone is the copied layer's, byte for byte.
        let base = try StoredTensors(
            Self.fixtures.appendingPathComponent("bases/llama-nf4").appendingPathComponent("model.safetensors"))
        for (copy, original) in [(0, 0), (1, 1), (2, 1), (3, 0)] {
            for piece in ["", ".absmax", ".nested_absmax", ".quant_state.bitsandbytes__nf4"] {
                let name = "mlp.up_proj.weight\(piece)"
                #expect(stored["model.layers.\(copy).\(name)"] == base["model.layers.\(original).\(name)"])
            }
        }
    }

    @Test func replicatedLayersComeFirst() throws {
        let cast = #"{"op": "cast", "dtype": "f32"}"#
        try expectRefusal(
            "llama-bf16", "\(cast), \(Self.attach("replicated")), \(merge)", saying: "step 2 (attach-adapter)",
            "layer_replication", "must be the first")
        try expectRefusal(
            "llama-bf16", "\(Self.attach("replicated")), \(Self.attach("replicated")), \(merge)",
            saying: "step 2 (attach-adapter)", "layer_replication", "must be the first")
    }

    /// The copies of a layer may lie in shards of different parts, which read the layer once each.
    @Test func partsReplicateLayersAsOneRunDoes() throws {
        func spec(_ output: String) throws -> String {
            try workspace.spec(
                input: Self.fixtures.appendingPathComponent("bases/llama-nf4").path,
                steps: Self.attach("replicated") + #", {"op": "merge-in-4bit"}"#,
                output: #"{"path": "\#(output)", "max_shard_size": "20KB"}"#)
        }
        try qconv("pipeline", spec("whole"), "--quiet")
        for part in ["1/3", "2/3", "3/3"] { try qconv("pipeline", spec("parts"), "--part", part, "--quiet") }
        try qconv("batch", "finish", spec("parts"), "--quiet")
        #expect(try workspace.contents(of: "parts") == workspace.contents(of: "whole"))
    }

    @Test func containersTakeNoPendingReplication() throws {
        try expectRefusal(
            "llama-nf4", Self.attach("replicated"), output: #"{"path": "out.nf4"}"#,
            saying: "replicate the layers again",
            "merge-in-4bit")
    }

    @Test func modelsWithoutLayersCannotBeReplicated() throws {
        try expectRefusal(
            "groups", "\(Self.attach("replicated")), \(merge)", saying: "layer_replication", "model.layers.0")
        // This one has 1 layer.
        try expectRefusal(
            "mixtral", "\(Self.attach("replicated")), \(merge)", saying: "copies layer 1", "the model has 1")
    }

    // MARK: - What cannot be merged

    @Test func groupedConvolutionsAreRefused() throws {
        try expectRefusal(
            "groups", "\(Self.attach("groups")), \(merge)", saying: "groups: belongs to a convolution with 2 groups",
            "unmerged")
    }

    @Test(arguments: ["pissa", "olora"]) func adaptersOfAChangedBaseAreRefused(_ name: String) throws {
        try expectRefusal(
            "linear-f32", "\(Self.attach("\(name)-unconverted")), \(merge)", saying: "init_lora_weights is \"\(name)\"",
            "path_initial_model_for_weight_conversion")
    }

    @Test func denseConv1DIsNotMadeOf4BitOnes() throws {
        try expectRefusal(
            "gpt2-nf4", "\(Self.attach("conv1d")), \(merge)", saying: "Conv1D", "let transformers convert this model")
    }

    @Test func expertsOfAnotherModelAreNamed() throws {
        try expectRefusal(
            "mixtral", "\(Self.attach("gpt-oss")), \(merge)", saying: "mlp.experts.gate_up_proj", "[3, 20, 16]")
    }

    // MARK: - Figures

    /// The update of experts is found again in what was merged.
    @Test(arguments: [
        ("experts-out-in", "experts-out-in"), ("mixtral", "mixtral"), ("convolutions-f32", "convolutions"),
        ("gpt2-f32", "conv1d-small"),
    ]) func comparisonsKnowTheUpdate(_ base: String, _ adapter: String) throws {
        let spec = try workspace.spec(
            input: Self.base(base), steps: "\(Self.attach(adapter)), \(merge)", output: #"{"path": "out.safetensors"}"#)
        let run = try QConvRun(["pipeline", spec, "--quiet"])
        try #require(run.status == 0, "\(run.errors)")
        let path = Self.fixtures.appendingPathComponent("adapters/\(adapter)").path
        let explained = try QConvRun([
            "explain-merge", Self.base(base), workspace.path("out.safetensors"), path,
        ])
        #expect(explained.status == 0, "\(explained.output)\(explained.errors)")
    }

    /// Ranks and scalings are those of the parameters that the factors turn out to be.
    @Test func plansAndLintTellTheRankOfEachParameter() throws {
        let spec = try workspace.spec(input: Self.base("mixtral"), steps: "\(Self.attach("mixtral")), \(merge)")
        let plan = try QConvRun(["pipeline", spec, "--plan"])
        #expect(plan.output.contains("model.layers.0.mlp.experts.base_layer  r 2  scaling 2.500"), "\(plan.output)")
        #expect(plan.output.contains("model.layers.0.mlp.experts  r 3  scaling 1.667"), "\(plan.output)")
        let adapter = Self.fixtures.appendingPathComponent("adapters/mixtral").path
        let lint = try QConvRun(["lint", adapter, "--base", Self.base("mixtral"), "--json"])
        #expect(lint.status == 0)
        let modules = try JSONValue(parsing: lint.output)["modules"]?.array ?? []
        #expect(modules.compactMap { $0["rank"]?.int } == [2, 3, 2])
        #expect(modules.allSatisfy { $0["matched"]?.bool == true })
    }

    /// Any number of threads and any budget give the same bytes.
    @Test func threadsChangeNothing() throws {
        for (base, adapter) in [("experts-nf4", "experts-nf4"), ("llama-nf4", "replicated")] {
            let steps = Self.attach(adapter) + #", {"op": "merge-in-4bit", "rounding": "stochastic"}"#
            var results: [Data] = []
            for arguments in [["--threads", "1"], ["--threads", "2"], ["--memory", "16MiB"]] {
                let spec = try workspace.spec(
                    input: Self.base(base), steps: steps, output: #"{"path": "out.safetensors"}"#)
                let run = try QConvRun(["pipeline", spec, "--quiet", "--force"] + arguments)
                try #require(run.status == 0, "\(run.errors)")
                results.append(try Data(contentsOf: workspace["out.safetensors"]))
            }
            #expect(results.allSatisfy { $0 == results[0] })
        }
    }
}
