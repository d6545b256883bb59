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

    private static func item(_ name: String) throws -> Case {
        try #require(cases.first { $0.name == name }, "\(name)")
    }

    private static func attach(_ adapter: String, _ keys: String = "") -> String {
        #"{"op": "attach-adapter", "path": "\#(fixtures.appendingPathComponent("adapters/\(adapter)").path)"\#(keys)}"#
    }

    private static func base(_ name: String) -> String { fixtures.appendingPathComponent("bases/\(name)").path }

    @Test func resultsDoNotDependOnThreadsAndMemory() throws {
        for name in ["dora-nf4", "dora-bf16", "embedding-dora-f32", "grown-bf16", "tied-saved-embedding-bf16"] {
            let item = try AdapterKindsTests.item(name)
            let results = try [["--threads", "1"], ["--threads", "3", "--memory", "64MiB"]].map { arguments in
                let workspace = try Workspace()
                let run = try item.run(in: workspace, mergeStep: item.mergeStep, arguments: arguments + ["--force"])
                #expect(run.status == 0, "\(run.errors)")
                return try workspace.contents(of: "out")
            }
            #expect(results[0] == results[1], "\(name)")
        }
    }

    /// On the base's scales the exact result is the same, so most of a large update is there.
    @Test func doraOnTheBasesScalesIsKept() throws {
        let item = try AdapterKindsTests.item("dora-nf4")
        let workspace = try Workspace()
        let spec = try workspace.spec(
            input: item.url("base").path,
            steps: AdapterKindsTests.attach("dora") + #", {"op": "merge-in-4bit", "rounding": "stochastic"}"#,
            report: #"{"json": "report.json"}"#)
        let run = try QConvRun(["pipeline", spec, "--quiet"])
        #expect(run.status == 0, "\(run.errors)")
        let report = try JSONValue(parsing: Data(contentsOf: workspace["report.json"]))
        let tensors = report["outputs"]?.array?.first?["tensors"]?.array ?? []
        let merged = tensors.filter { $0["update_kept"]?.double != nil }
        #expect(merged.count == 2)
        for tensor in merged {
            let kept = try #require(tensor["update_kept"]?.double)
            #expect(abs(kept - 1) < 0.1, "\(tensor["name"]?.string ?? ""): \(kept)")
        }
    }

    /// A container keeps base and adapter apart, and merging from it gives the same bytes.
    @Test func containersCarryEveryKind() throws {
        let names = [
            "dora-nf4", "lora-bias-nf4", "bias-all-nf4", "saved-head-nf4", "tied-saved-embedding-bf16", "tokens-nf4",
            "embedding-dora-bf16", "tied-grown-bf16",
        ]
        for name in names {
            let item = try AdapterKindsTests.item(name)
            let workspace = try Workspace()
            let direct = try item.run(in: workspace, mergeStep: item.mergeStep)
            #expect(direct.status == 0, "\(direct.errors)")
            let attach = (item.value["adapters"]?.array ?? []).compactMap(\.string).map {
                #"{"op": "attach-adapter", "path": "\#(AdapterKindsTests.fixtures.appendingPathComponent($0).path)"}"#
            }
            let keep = try workspace.spec(
                input: item.url("base").path, steps: attach.joined(separator: ", "), output: #"{"path": "kept.nf4"}"#)
            let kept = try QConvRun(["pipeline", keep, "--quiet"])
            #expect(kept.status == 0, "\(name): \(kept.errors)")
            let merge = try workspace.spec(
                input: "kept.nf4", steps: item.mergeStep, output: #"{"path": "from-container"}"#)
            let merged = try QConvRun(["pipeline", merge, "--quiet"])
            #expect(merged.status == 0, "\(name): \(merged.errors)")
            #expect(
                try StoredTensors(workspace["out/model.safetensors"]).tensors
                    == StoredTensors(workspace["from-container/model.safetensors"]).tensors, "\(name)")
        }
    }

    @Test(arguments: [
        ("own-head", attach("half-grown"), #""lm_head.weight" would stay at 40"#),
        ("own-head", attach("half-grown"), #""vocab_size": 43"#),
        ("own-head", attach("tokens-alone-grown"), "names row 41"),
        ("own-head", attach("embedding-alone-grown"), "trained with 43 tokens"),
        ("own-head", attach("grown", #", "vocab_size": 42"#), #"the adapter has 43 rows"#),
        (
            "own-head", attach("plain", #", "vocab_size": 40"#),
            "no embedding or output head with another number of rows"
        ),
        ("own-head", attach("saved-head", #", "weight": 0.5"#), "has no weight"),
        ("own-head", attach("tied-saved-head", #", "vocab_size": 0"#), "at least 1"),
        ("own-head", attach("plain") + ", " + attach("saved-head") + ", " + attach("saved-head"), "another adapter"),
        (
            "own-head", attach("tokens") + ", " + attach("tied-tokens"),
            #"token 3 of "model.embed_tokens.weight" is trained by this adapter and by "#
        ),
    ]) func whatCannotBeMergedIsExplained(_ base: String, _ attach: String, _ words: String) throws {
        let workspace = try Workspace()
        let spec = try workspace.spec(
            input: AdapterKindsTests.base(base), steps: attach + #", {"op": "dequantize-merge"}"#)
        let run = try QConvRun(["pipeline", spec])
        #expect(run.status == 2)
        #expect(run.errors.contains(words), "\(run.errors)")
        #expect(!workspace.exists("out"))
    }

    @Test func adaptersMayTrainDifferentRows() throws {
        let workspace = try Workspace()
        let steps = ["tokens", "tokens-of-two"].map { AdapterKindsTests.attach($0) } + [#"{"op": "dequantize-merge"}"#]
        let spec = try workspace.spec(
            input: AdapterKindsTests.base("own-head"), steps: steps.joined(separator: ", "))
        let run = try QConvRun(["pipeline", spec, "--plan"])
        #expect(run.status == 0, "\(run.errors)")
    }

    /// With the size of the vocabulary given, what the adapter lacks is resized: new rows are the mean of the old.
    @Test(arguments: ["half-grown", "tokens-alone-grown", "embedding-alone-grown"])
    func aGivenVocabularyResizesTheBase(_ adapter: String) throws {
        let workspace = try Workspace()
        let spec = try workspace.spec(
            input: AdapterKindsTests.base("own-head"),
            steps: AdapterKindsTests.attach(adapter, #", "vocab_size": 43"#) + #", {"op": "dequantize-merge"}"#)
        let run = try QConvRun(["pipeline", spec])
        #expect(run.status == 0, "\(run.errors)")
        let merged = try StoredTensors(workspace["out/model.safetensors"])
        let base = try StoredTensors(
            URL(fileURLWithPath: AdapterKindsTests.base("own-head")).appendingPathComponent("model.safetensors"))
        let config = try JSONValue(parsing: Data(contentsOf: workspace["out/config.json"]))
        #expect(config["vocab_size"] == 43)
        #expect(merged["model.embed_tokens.weight"]?.shape == [43, 64])
        let head = try #require(merged["lm_head.weight"])
        #expect(head.shape == [43, 64])
        let before = try #require(base["lm_head.weight"]).floats
        #expect(Array(head.floats.prefix(40 * 64)) == before)
        for column in 0..<64 {
            let mean = (0..<40).reduce(0.0) { $0 + Double(before[$1 * 64 + column]) } / 40
            for row in 40..<43 {
                // Rounded to bfloat16.
                #expect(abs(Double(head.floats[row * 64 + column]) - mean) <= abs(mean) / 256 + 1e-9)
            }
        }
        if adapter == "tokens-alone-grown" {
            let trained = try StoredTensors(
                AdapterKindsTests.fixtures
                    .appendingPathComponent("adapters/tokens-alone-grown/adapter_model.safetensors"))
            let rows = try #require(
                trained["base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"]
            ).floats
            let embedding = try #require(merged["model.embed_tokens.weight"]).floats
            for column in 0..<64 {
                #expect(abs(embedding[41 * 64 + column] - rows[64 + column]) <= abs(rows[64 + column]) / 256)
            }
        }
    }

    /// A whole tensor is an update like any other to the report, and named in the plan.
    @Test func theReportTellsOfWholeTensors() throws {
        let workspace = try Workspace()
        let spec = try workspace.spec(
            input: AdapterKindsTests.base("own-head"),
            steps: AdapterKindsTests.attach("saved-head") + #", {"op": "dequantize-merge"}"#,
            report: #"{"json": "report.json"}"#)
        let plan = try QConvRun(["pipeline", spec, "--plan"])
        #expect(plan.output.contains("lm_head.weight  replaced"), "\(plan.output)")
        let run = try QConvRun(["pipeline", spec, "--quiet"])
        #expect(run.status == 0, "\(run.errors)")
        let report = try JSONValue(parsing: Data(contentsOf: workspace["report.json"]))
        let tensors = report["outputs"]?.array?.first?["tensors"]?.array ?? []
        let head = try #require(tensors.first { $0["name"] == "lm_head.weight" })
        #expect(abs((head["update_kept"]?.double ?? 0) - 1) < 1e-6)
        #expect(head["relative_error"]?.double ?? 1 < 1e-6)
    }

    /// What `modules_to_save` has for a 4-bit weight is dense, and the configuration says so.
    @Test func aWholeTensorReplacesA4BitWeight() throws {
        let workspace = try Workspace()
        let attach = AdapterKindsTests.attach("saved-projection")
        let steps = attach + #", {"op": "merge-in-4bit", "rounding": "nearest", "scales": "fresh"}"#
        let spec = try workspace.spec(
            input: AdapterKindsTests.base("nf4-own-head"), steps: steps, report: #"{"json": "report.json"}"#)
        let run = try QConvRun(["pipeline", spec])
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.output.contains("which stays dense"), "\(run.output)")
        let merged = try StoredTensors(workspace["out/model.safetensors"])
        // PEFT's merge onto the same model in 16 bits.
        let dense = try StoredTensors(AdapterKindsTests.item("saved-projection-bf16").url("expected"))
        let name = "model.layers.0.mlp.down_proj.weight"
        #expect(merged[name] == dense[name])
        #expect(merged.tensors.keys.allSatisfy { !$0.hasPrefix(name + ".") })
        let attention = "model.layers.0.self_attn.q_proj.weight"
        #expect(merged[attention]?.dtype == "U8" && merged[attention + ".absmax"] != nil)
        let config = try JSONValue(parsing: Data(contentsOf: workspace["out/config.json"]))
        let skipped = config["quantization_config"]?["llm_int8_skip_modules"]?.array?.compactMap(\.string) ?? []
        #expect(skipped.contains { name.contains($0) }, "\(skipped)")
    }

    @Test(arguments: [
        ("saved-head", "lm_head.weight  replaced", 4, 0),
        ("tokens", "model.embed_tokens.weight  3 rows replaced", 1, 0),
        ("dora", "scaling 2.500  dora", 0, 2), ("lora-bias", "scaling 2.500  lora_bias", 0, 2),
    ]) func everyKindIsListed(_ adapter: String, _ line: String, replaced: Int, withExtras: Int) throws {
        let path = AdapterKindsTests.fixtures.appendingPathComponent("adapters/\(adapter)").path
        #expect(try qconv("inspect", path).output.contains(line))
        let facts = try JSONValue(parsing: qconv("inspect", path, "--json").output)["adapters"]?.array?.first
        #expect(facts?["replaced"]?.array?.count == replaced)
        #expect(facts?["modules"]?.array?.count { $0["extras"]?.array?.isEmpty == false } == withExtras)
        // Factors are in float32, whole tensors in the base's dtype: that is as PEFT saves them, and not doubtful.
        let lint = try JSONValue(parsing: QConvRun(["lint", path, "--json"]).output)
        #expect(lint["clean"] == true, "\(lint["text"]?.string ?? "")")
        #expect(lint["replaced"] == facts?["replaced"])
    }

    /// DoRA gives each output the length of its magnitude; one without a direction is an error, not NaN.
    @Test(arguments: ["own-head", "nf4-own-head"])
    func anOutputOfZerosIsNamed(base: String) throws {
        let workspace = try Workspace()
        let name = "model.layers.0.self_attn.q_proj.weight"
        try FileManager.default.copyItem(
            at: AdapterKindsTests.fixtures.appendingPathComponent("adapters/dora"), to: workspace["adapter"])
        try FileManager.default.copyItem(
            at: AdapterKindsTests.fixtures.appendingPathComponent("bases/\(base)"), to: workspace["base"])
        // Code 7 of NF4 is zero.
        let isQuantized = base.hasPrefix("nf4")
        try fill(
            row: 5, of: name, bytesARow: isQuantized ? 32 : 128, with: isQuantized ? 0x77 : 0,
            in: workspace["base/model.safetensors"])
        try fill(
            row: 5, of: "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", bytesARow: 16, with: 0,
            in: workspace["adapter/adapter_model.safetensors"])
        for step in [#"{"op": "dequantize-merge"}"#, #"{"op": "merge-in-4bit"}"#].prefix(isQuantized ? 2 : 1) {
            let spec = try workspace.spec(
                input: "base", steps: #"{"op": "attach-adapter", "path": "adapter"}, "# + step)
            let run = try QConvRun(["pipeline", spec])
            #expect(run.status == 2)
            #expect(run.errors.contains("\"\(name)\": with the update output 5 is all zeros"), "\(run.errors)")
            #expect(!workspace.exists("out"))
        }
    }

    /// Overwrites a row of a tensor in a safetensors file.
    private func fill(row: Int, of name: String, bytesARow: Int, with byte: UInt8, in file: URL) throws {
        var data = try Data(contentsOf: file)
        let length = Int(data.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
        let entry = try #require(try JSONValue(parsing: data[8..<8 + length])[name])
        let start = 8 + length + (try #require(entry["data_offsets"]?.array?.first?.int)) + row * bytesARow
        data.replaceSubrange(start..<start + bytesARow, with: repeatElement(byte, count: bytesARow))
        try data.write(to: file)
    }
}
