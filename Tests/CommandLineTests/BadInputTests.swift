import Foundation
import Testing

/// What bad input gets: status 2, a message that names file, tensor and way out, and nothing left behind.
@Suite struct BadInputTests {
    private let workspace: Workspace

    init() throws {
        workspace = try Workspace()
    }

    /// Runs a spec that must be refused and checks that it leaves nothing.
    private func expectRefusal(
        _ spec: String, status: Int32 = 2, saying phrases: String..., arguments: [String] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let before = try workspace.names()
        let run = try QConvRun(["pipeline", spec] + arguments)
        #expect(run.status == status, "\(run.errors)", sourceLocation: sourceLocation)
        #expect(!run.wasSignalled, sourceLocation: sourceLocation)
        #expect(run.output.isEmpty, sourceLocation: sourceLocation)
        for phrase in phrases {
            #expect(run.errors.contains(phrase), "\(run.errors)", sourceLocation: sourceLocation)
        }
        #expect(try workspace.names() == before, "something was left behind", sourceLocation: sourceLocation)
    }

    private let cast = #"{"op": "cast", "dtype": "f32"}"#

    @Test func missingInput() throws {
        try expectRefusal(workspace.spec(input: "nowhere", steps: cast), saying: "nowhere")
    }

    /// A report that cannot be written shows before the output is put in place.
    @Test func reportThatCannotBeWritten() throws {
        try workspace.write("", to: "file")
        try expectRefusal(
            workspace.spec(
                input: TinyLlama.base16Bit, steps: cast, report: #"{"csv": "report.csv", "json": "file/report.json"}"#),
            status: 3, saying: "file")
    }

    @Test func updatesThatMakeWeightsInfinite() throws {
        for base in [TinyLlama.base16Bit, TinyLlama.base4Bit] {
            let attach = #"{"op": "attach-adapter", "path": "\#(TinyLlama.adapter(200))", "weight": 3e38}"#
            try expectRefusal(
                workspace.spec(input: base, steps: attach + #", {"op": "dequantize-merge"}"#), saying: "weight")
        }
    }

    @Test func deviceAsOutput() throws {
        for arguments in [[], ["--force"]] {
            try expectRefusal(
                workspace.spec(input: TinyLlama.base16Bit, steps: cast, output: #"{"path": "/dev/null"}"#),
                saying: "/dev/null", "device", arguments: arguments)
        }
        #expect(
            try FileManager.default.attributesOfItem(atPath: "/dev/null")[.type] as? FileAttributeType
                == .typeCharacterSpecial)
    }

    @Test func truncatedFile() throws {
        let whole = try Data(contentsOf: URL(fileURLWithPath: TinyLlama.base16Bit + "/model.safetensors"))
        try whole.dropLast(1000).write(to: workspace["short.safetensors"])
        try expectRefusal(
            workspace.spec(input: "short.safetensors", steps: cast), saying: "short.safetensors", "1000")
    }

    @Test func oversizedFile() throws {
        try workspace.safetensors(
            #"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, data: Data(count: 11), to: "long.safetensors")
        try expectRefusal(workspace.spec(input: "long.safetensors", steps: cast), saying: "long.safetensors", "3")
    }

    @Test func overlappingTensors() throws {
        try workspace.safetensors(
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
            data: Data(count: 12), to: "overlap.safetensors")
        try expectRefusal(
            workspace.spec(input: "overlap.safetensors", steps: cast), saying: "overlap.safetensors", "overlap")
    }

    @Test func headerLongerThanTheFile() throws {
        var bytes = Data(repeating: 0xff, count: 7)
        bytes.append(0x7f)
        bytes.append(Data("{}".utf8))
        try bytes.write(to: workspace["hostile.safetensors"])
        try expectRefusal(workspace.spec(input: "hostile.safetensors", steps: cast), saying: "hostile.safetensors")
    }

    @Test func missingShard() throws {
        try workspace.write(
            #"{"metadata":{"total_size":8},"weight_map":{"w":"model-00001-of-00002.safetensors"}}"#,
            to: "model/model.safetensors.index.json")
        try expectRefusal(
            workspace.spec(input: "model", steps: cast), saying: "model-00001-of-00002.safetensors")
    }

    @Test func indexThatLies() throws {
        try workspace.safetensors(
            #"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, data: Data(count: 8),
            to: "model/model-00001-of-00001.safetensors")
        try workspace.write(
            #"{"metadata":{},"weight_map":{"w":"model-00001-of-00001.safetensors","v":"model-00001-of-00001.safetensors"}}"#,
            to: "model/model.safetensors.index.json")
        try expectRefusal(workspace.spec(input: "model", steps: cast), saying: "\"v\"", "index")
    }

    @Test func adapterForAnotherModel() throws {
        try workspace.safetensors(
            #"{"other.proj.weight":{"dtype":"BF16","shape":[4,4],"data_offsets":[0,32]}}"#, data: Data(count: 32),
            to: "other.safetensors")
        try expectRefusal(
            workspace.spec(
                input: "other.safetensors", steps: TinyLlama.attach(200) + #", {"op": "dequantize-merge"}"#),
            saying: "model.layers.0.mlp.down_proj", "28")
    }

    @Test func adapterOfOtherShapes() throws {
        let adapter = workspace["adapter"]
        try FileManager.default.copyItem(atPath: TinyLlama.adapter(200), toPath: adapter.path)
        try workspace.safetensors(
            #"{"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight":{"dtype":"F32","shape":[8,100],"data_offsets":[0,3200]},"base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight":{"dtype":"F32","shape":[192,8],"data_offsets":[3200,9344]}}"#,
            data: Data(count: 9344), to: "adapter/adapter_model.safetensors")
        try expectRefusal(
            workspace.spec(
                input: TinyLlama.base4Bit,
                steps: #"{"op": "attach-adapter", "path": "adapter"}, {"op": "merge-in-4bit"}"#),
            saying: "model.layers.0.self_attn.q_proj", "100", "192")
    }

    @Test func unknownOpAndKey() throws {
        try expectRefusal(
            workspace.spec(input: TinyLlama.base4Bit, steps: #"{"op": "merge-in-4-bit"}"#),
            saying: "step 1", "did you mean \"merge-in-4bit\"")
        try expectRefusal(
            workspace.spec(input: TinyLlama.base4Bit, steps: #"{"op": "dequantize", "type": "bf16"}"#),
            saying: "step 1 (dequantize)", "unknown key \"type\"")
    }

    @Test func combinationsThatCannotWork() throws {
        let cases = [
            (#"{"op": "merge-in-4bit"}"#, "attach-adapter"),
            (TinyLlama.attach(200), "merge-in-4bit"),
            (#"{"op": "dequantize"}, {"op": "dequantize"}"#, "no tensor is 4-bit"),
            (#"{"op": "quantize"}"#, "requantize"),
            (#"{"op": "dequantize"}, \#(TinyLlama.attach(200)), {"op": "merge-in-4bit"}"#, "dequantize-merge"),
            (#"{"op": "cast", "dtype": "f16", "include": ["*.nothing"]}"#, "matches no tensor"),
        ]
        for (steps, phrase) in cases {
            try expectRefusal(workspace.spec(input: TinyLlama.base4Bit, steps: steps), saying: phrase)
        }
        let idlePatterns = [
            (#""exclude": ["model.norm.weight"]"#, #""model.norm.weight" of "exclude" leaves nothing out"#),
            (
                #""include": ["*up_proj*"], "exclude": ["*down_proj*"]"#,
                #""*down_proj*" of "exclude" leaves nothing out"#
            ),
            (
                #""include": ["*up_proj*", "*.0.mlp.down_proj*"], "exclude": ["*down_proj*"]"#,
                #""*.0.mlp.down_proj*" of "include" matches is left out"#
            ),
        ]
        for (patterns, phrase) in idlePatterns {
            try expectRefusal(
                workspace.spec(input: TinyLlama.base16Bit, steps: #"{"op": "quantize", \#(patterns)}"#), saying: phrase)
        }
        try expectRefusal(
            workspace.spec(
                input: TinyLlama.base4Bit, steps: cast, output: #"{"path": "out", "format": "safetensors"}"#),
            saying: "bitsandbytes", "dequantize")
        try expectRefusal(
            workspace.spec(
                input: TinyLlama.base4Bit, steps: #"{"op": "dequantize"}"#,
                output: #"{"path": "out", "format": "bitsandbytes"}"#), saying: "safetensors", "quantize")
        try expectRefusal(
            workspace.spec(
                input: TinyLlama.base4Bit, steps: cast,
                output: #"{"path": "out.safetensors", "max_shard_size": "1MB"}"#), saying: "max_shard_size")
    }

    @Test func outputIsTheInput() throws {
        try FileManager.default.copyItem(atPath: TinyLlama.base16Bit, toPath: workspace.path("model"))
        let before = try workspace.contents(of: "model")
        for path in ["model", "./model/", "model/model.safetensors", "model/inside"] {
            for arguments in [[], ["--force"]] {
                try expectRefusal(
                    workspace.spec(input: "model", steps: cast, output: #"{"path": "\#(path)"}"#), saying: "model",
                    arguments: arguments)
            }
        }
        #expect(try workspace.contents(of: "model") == before)
    }

    @Test func outputExists() throws {
        try workspace.write("precious", to: "out/notes.txt")
        let spec = try workspace.spec(input: TinyLlama.base16Bit, steps: cast)
        try expectRefusal(spec, saying: "out", "--force")
        // Even --force replaces models only.
        try expectRefusal(spec, saying: "no model", arguments: ["--force"])
        #expect(try workspace.contents(of: "out") == ["notes.txt": Data("precious".utf8)])

        try workspace.write("{}", to: "out/config.json")
        let run = try QConvRun(["pipeline", spec, "--force", "--quiet"])
        #expect(run.status == 0, "\(run.errors)")
        #expect(!workspace.exists("out/notes.txt"))
        #expect(workspace.exists("out/model.safetensors"))
        #expect(try workspace.names() == ["out", "spec.json"])
    }

    @Test func valuesTooLargeForTheDType() throws {
        var data = Data()
        for value in [1 as Float, 1e6] {
            withUnsafeBytes(of: value.bitPattern.littleEndian) { data.append(contentsOf: $0) }
        }
        try workspace.safetensors(
            #"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, data: data, to: "large.safetensors")
        try expectRefusal(
            workspace.spec(input: "large.safetensors", steps: #"{"op": "cast", "dtype": "f16"}"#), saying: "\"w\"",
            "F16", "bf16")
    }

    @Test func notANumber() throws {
        var data = Data()
        for index in 0..<128 {
            let value: Float = index == 70 ? .nan : 0.5
            withUnsafeBytes(of: value.bitPattern.littleEndian) { data.append(contentsOf: $0) }
        }
        try workspace.safetensors(
            #"{"up_proj.weight":{"dtype":"F32","shape":[2,64],"data_offsets":[0,512]}}"#, data: data,
            to: "nan.safetensors")
        try expectRefusal(
            workspace.spec(input: "nan.safetensors", steps: #"{"op": "quantize"}"#), saying: "up_proj.weight", "NaN")
    }

    @Test func writesThatFail() throws {
        // A limit on the size of files stands in for a full disk: the write fails half-way.
        let spec = try workspace.spec(input: TinyLlama.base16Bit, steps: cast)
        let before = try workspace.names()
        let run = try QConvRun(["pipeline", spec], limits: "ulimit -f 1000")
        #expect(run.status == 3, "\(run.errors)")
        #expect(run.errors.contains("out"))
        #expect(try workspace.names() == before)
    }

    @Test(arguments: ["inspect", "verify", "lint", "diff", "convert"])
    func standardOutputIsGone(command: String) throws {
        let arguments = [
            "inspect": [TinyLlama.base4Bit], "verify": [TinyLlama.base4Bit], "lint": [TinyLlama.adapter(50)],
            "diff": [TinyLlama.base4Bit, TinyLlama.base4Bit],
            "convert": [TinyLlama.base16Bit, workspace.path("out"), "--dtype", "f32"],
        ]
        let run = try QConvRun([command] + #require(arguments[command]), limits: "exec >&-")
        #expect(run.status == 3, "\(run.errors)")
        #expect(run.errors.contains("qconv: error: standard output: cannot write: "), "\(run.errors)")
    }

    @Test func mistakesOnTheCommandLine() throws {
        for arguments in [
            ["pipeline"], ["pipelin"], ["pipeline", "a", "b"], ["pipeline", "a", "--threads", "0"],
            ["pipeline", "a", "--memory", "lots"],
        ] {
            let run = try QConvRun(arguments)
            #expect(run.status == 2, "\(arguments)")
            #expect(!run.errors.isEmpty)
        }
        #expect(try QConvRun(["--help"]).status == 0)
        #expect(try QConvRun(["--version"]).output.hasPrefix("0."))
    }

    /// A command is parsed by itself; help and mistakes are worded as those of the whole.
    @Test(arguments: ["pipeline", "convert", "diff", "explain-merge", "lint", "inspect", "verify", "batch", "patch"])
    func wordsOfCommands(command: String) throws {
        let help = try QConvRun([command, "--help"])
        #expect(help.status == 0)
        #expect(help.output.contains("USAGE: qconv \(command)"))
        #expect(help.output.contains("--version"))
        #expect(try QConvRun(["help", command]).output == help.output)
        #expect(try QConvRun([command, "--version"]).output.hasPrefix("0."))
        let mistake = try QConvRun([command, "--no-such-option"])
        #expect(mistake.status == 2)
        #expect(mistake.errors.contains("qconv \(command)"), "\(mistake.errors)")
    }
}
