import Foundation
import LosslessJSON
import Testing

/// Containers made and read by the built binary, from the real model in examples/.
@Suite struct ContainerTests {
    private let workspace: Workspace

    init() throws {
        workspace = try Workspace()
    }

    @Test(arguments: [TinyLlama.base4Bit, TinyLlama.base16Bit])
    func thereAndBackIsTheSameDirectory(model: String) throws {
        try qconv("convert", model, workspace.path("model.nf4"), "--quiet")
        try qconv("convert", workspace.path("model.nf4"), workspace.path("back"), "--quiet")
        #expect(try workspace.contents(of: "back") == Workspace.contents(of: URL(fileURLWithPath: model)))
        let container = try Data(contentsOf: workspace["model.nf4"]).count
        let original = try Data(contentsOf: URL(fileURLWithPath: model + "/model.safetensors")).count
        #expect(container < original * 9 / 10)
    }

    @Test func threadsDoNotMatter() throws {
        var files: [Data] = []
        for threads in ["1", "2", "7"] {
            try qconv(
                "convert", TinyLlama.base4Bit, workspace.path("model.nf4"), "--threads", threads, "--force", "--quiet")
            files.append(try Data(contentsOf: workspace["model.nf4"]))
        }
        #expect(files.allSatisfy { $0 == files[0] })
    }

    @Test func anAdapterTravelsInsideAndIsMergedLater() throws {
        let attach = TinyLlama.attach(200)
        let together = try workspace.spec(
            input: TinyLlama.base4Bit, steps: attach, output: #"{"path": "with-adapter.nf4"}"#)
        try qconv("pipeline", together, "--quiet")
        let inspected = try JSONValue(
            parsing: qconv("inspect", workspace.path("with-adapter.nf4"), "--json").output)
        let modules = try #require(inspected["adapters"]?.array?.first?["modules"]?.array)
        #expect(modules.count == 28)
        #expect(modules.allSatisfy { $0["scaling"]?.double == 2 })
        #expect(inspected["provenance"]?["spec"]?["steps"]?.array?.count == 1)

        for merge in [#"{"op": "merge-in-4bit", "seed": 5}"#, #"{"op": "dequantize-merge", "dtype": "f32"}"#] {
            let later = try workspace.spec(
                input: "with-adapter.nf4", steps: merge, output: #"{"path": "later"}"#)
            try qconv("pipeline", later, "--quiet", "--force")
            let direct = try workspace.spec(
                input: TinyLlama.base4Bit, steps: attach + ", " + merge, output: #"{"path": "direct"}"#)
            try qconv("pipeline", direct, "--quiet", "--force")
            #expect(try workspace.contents(of: "later") == workspace.contents(of: "direct"))
        }
    }

    @Test func convertPrintsTheSpecItStandsFor() throws {
        let text = try qconv(
            "convert", TinyLlama.base4Bit, workspace.path("dense"), "--to", "safetensors", "--dtype", "f16",
            "--print-spec"
        ).output
        #expect(try JSONValue(parsing: text)["steps"]?.array?.first?["op"] == "dequantize")
        #expect(!workspace.exists("dense"))
        try workspace.write(text, to: "printed.json")
        try qconv("pipeline", workspace.path("printed.json"), "--quiet")
        let printed = try workspace.contents(of: "dense")
        try qconv(
            "convert", TinyLlama.base4Bit, workspace.path("dense"), "--to", "safetensors", "--dtype", "f16", "--force",
            "--quiet")
        #expect(try workspace.contents(of: "dense") == printed)
    }

    @Test func verifyNamesWhatIsDamaged() throws {
        try qconv("convert", TinyLlama.base4Bit, workspace.path("model.nf4"), "--quiet")
        let whole = try qconv("verify", workspace.path("model.nf4"), TinyLlama.base4Bit)
        #expect(whole.output.contains("whole"))

        var bytes = try Data(contentsOf: workspace["model.nf4"])
        bytes[bytes.count / 2] ^= 1
        try bytes.write(to: workspace["damaged.nf4"])
        let damaged = try QConvRun(["verify", workspace.path("damaged.nf4"), workspace.path("model.nf4")])
        #expect(damaged.status == 1)
        #expect(damaged.output.contains("checksum"))
        #expect(damaged.output.contains("model.layers."))

        try bytes.dropLast(7).write(to: workspace["short.nf4"])
        let short = try QConvRun(["verify", workspace.path("short.nf4")])
        #expect(short.status == 1)
        let converted = try QConvRun(["convert", workspace.path("short.nf4"), workspace.path("out")])
        #expect(converted.status == 2)
        #expect(converted.errors.contains("short.nf4"))
        #expect(!workspace.exists("out"))

        let safetensors = try Data(contentsOf: URL(fileURLWithPath: TinyLlama.base4Bit + "/model.safetensors"))
        try safetensors.dropLast(1).write(to: workspace["short.safetensors"])
        #expect(try QConvRun(["verify", workspace.path("short.safetensors")]).status == 1)
        #expect(try QConvRun(["verify", workspace.path("absent")]).status == 2)
    }

    @Test func verifyTellsAboutEveryPath() throws {
        let safetensors = try Data(contentsOf: URL(fileURLWithPath: TinyLlama.base4Bit + "/model.safetensors"))
        try safetensors.dropLast(1).write(to: workspace["short.safetensors"])
        try workspace.write("a b c", to: "notes/README")
        let (absent, short, notes) = (
            workspace.path("absent"), workspace.path("short.safetensors"), workspace.path("notes")
        )
        let all = ["verify", TinyLlama.base4Bit, absent, short, notes]
        let run = try QConvRun(all)
        #expect(run.status == 2)
        #expect(run.output.contains("\(TinyLlama.base4Bit): whole"))
        #expect(run.output.contains("\(short): "))
        #expect(run.errors.contains("qconv: \(absent): cannot open"))
        #expect(run.errors.contains("qconv: \(notes): has no *.safetensors"))
        let document = try #require(try JSONValue(parsing: QConvRun(all + ["--json"]).output).array)
        #expect(document.map { $0["path"]?.string } == Array(all.dropFirst()))
        #expect(document.map { $0["error"] != nil } == [false, true, false, true])
        #expect(document.map { $0["damages"]?.array?.count } == [0, nil, 1, nil])
        #expect(document[2]["bytes"]?.int == safetensors.count - 1)
    }

    @Test func verifyChecksAdapters() throws {
        #expect(try qconv("verify", TinyLlama.adapter(200)).output.contains("checkpoint-200: whole"))
        try FileManager.default.copyItem(atPath: TinyLlama.adapter(200), toPath: workspace.path("adapter"))
        let weights = workspace["adapter/adapter_model.safetensors"]
        let bytes = try Data(contentsOf: weights)
        try bytes.dropLast(1).write(to: weights)
        let short = try QConvRun(["verify", workspace.path("adapter")])
        #expect(short.status == 1)
        #expect(short.output.contains("adapter_model.safetensors"))
        #expect(!short.output.contains("attach-adapter"))
        try FileManager.default.removeItem(at: weights)
        let absent = try QConvRun(["verify", workspace.path("adapter")])
        #expect(absent.status == 1)
        #expect(absent.output == "\(workspace.path("adapter")): adapter_model.safetensors is missing\n")
        try bytes.write(to: weights)
        try workspace.write("{", to: "adapter/adapter_config.json")
        #expect(try QConvRun(["verify", workspace.path("adapter")]).status == 1)
    }

    /// The files that an index names belong to the model.
    @Test func verifyMissesShards() throws {
        let spec = try workspace.spec(
            input: TinyLlama.base4Bit, steps: "", output: #"{"path": "out", "max_shard_size": "200KB"}"#)
        try qconv("pipeline", spec, "--quiet")
        let shard = try #require(workspace.names(in: "out").first { $0.hasSuffix(".safetensors") })
        try FileManager.default.removeItem(at: workspace["out/\(shard)"])
        let run = try QConvRun(["verify", workspace.path("out")])
        #expect(run.status == 1, "\(run.errors)")
        #expect(run.output.contains(shard))
    }

    @Test func uncompressedContainersHoldTheSame() throws {
        let spec = try workspace.spec(
            input: TinyLlama.base4Bit, steps: "", output: #"{"path": "plain.nf4", "compression": "none"}"#)
        try qconv("pipeline", spec, "--quiet")
        try qconv("convert", workspace.path("plain.nf4"), workspace.path("back"), "--quiet")
        #expect(
            try workspace.contents(of: "back") == Workspace.contents(of: URL(fileURLWithPath: TinyLlama.base4Bit)))
    }

    @Test func inspectTellsAboutOneTensor() throws {
        let text = try qconv("inspect", TinyLlama.base4Bit, "model.layers.0.mlp.up_proj.weight").output
        #expect(text.contains("512 × 192"))
        #expect(text.contains("blocksize  64"))
        let absent = try QConvRun(["inspect", TinyLlama.base4Bit, "model.layers.0.mlp.up_proj.weigth"])
        #expect(absent.status == 2)
        #expect(absent.errors.contains("did you mean \"model.layers.0.mlp.up_proj.weight\"?"))
        #expect(try qconv("inspect", TinyLlama.adapter(50)).output.contains("scaling 2"))
    }

    @Test func formatsAndPathsMustAgree() throws {
        for (output, phrase) in [
            (#"{"path": "a.nf4", "format": "bitsandbytes"}"#, "nf4"),
            (#"{"path": "a.safetensors", "format": "nf4"}"#, ".nf4"),
            (#"{"path": "a", "compression": "none"}"#, "compression"),
            (#"{"path": "a.nf4", "max_shard_size": "1GB"}"#, "max_shard_size"),
        ] {
            let run = try QConvRun(["pipeline", workspace.spec(input: TinyLlama.base4Bit, steps: "", output: output)])
            #expect(run.status == 2)
            #expect(run.errors.contains(phrase), "\(run.errors)")
            #expect(try workspace.names() == ["spec.json"])
        }
    }
}
