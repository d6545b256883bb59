import Foundation
import Testing

/// Names come from files that nobody vouches for: what a terminal would act on reaches it as escapes.
@Suite struct UntrustedNamesTests {
    /// As JSON has it, and as it is shown.
    private static let name = (json: #"a\nb\u001b[31mred.weight"#, shown: #"a\u{a}b\u{1b}[31mred.weight"#)

    private let workspace: Workspace

    init() throws {
        workspace = try Workspace()
        try workspace.safetensors(
            #"{"__metadata__":{"note":"\u001b[2Jgone"},"\#(Self.name.json)":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#,
            data: Data(count: 16), to: "model.safetensors")
    }

    private func expectHarmless(_ run: QConvRun, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(!(run.output + run.errors).contains("\u{1b}"), sourceLocation: sourceLocation)
    }

    @Test func inResults() throws {
        let model = workspace.path("model.safetensors")
        let inspected = try qconv("inspect", model)
        expectHarmless(inspected)
        #expect(inspected.output.contains("metadata: note = \\u{1b}[2Jgone\n"))
        #expect(inspected.output.contains("  f32  \(Self.name.shown) [4]\n"))
        let tensor = try qconv("inspect", model, "a\nb\u{1b}[31mred.weight")
        #expect(tensor.output.hasPrefix(Self.name.shown + "\n"))
        let spec = try workspace.spec(input: "model.safetensors", steps: #"{"op": "cast", "dtype": "bf16"}"#)
        let planned = try qconv("pipeline", spec, "--plan")
        expectHarmless(planned)
        #expect(planned.output.contains("  f32 -> bf16  \(Self.name.shown) [4]\n"))
        expectHarmless(try qconv("pipeline", spec))
        expectHarmless(try qconv("verify", model))
    }

    @Test func inErrors() throws {
        let spec = try workspace.spec(
            input: "model.safetensors", steps: #"{"op": "quantize", "include": ["*"]}"#)
        let run = try QConvRun(["pipeline", spec])
        #expect(run.status == 2)
        expectHarmless(run)
        #expect(run.errors.contains("cannot quantize \"a\nb\\u{1b}[31mred.weight\""))
        expectHarmless(try QConvRun(["pipeline", "\u{1b}[2J.json"]))
        expectHarmless(try QConvRun(["\u{1b}[2J"]))
    }

    /// What a message says in lines of its own, a table does too.
    @Test func linesOfAMessageStay() throws {
        for step in [50, 100] {
            try FileManager.default.copyItem(
                atPath: TinyLlama.adapter(step), toPath: workspace.path("checkpoint-\(step)"))
        }
        let path = "checkpoint-50/adapter_config.json"
        let configuration = try String(contentsOf: workspace[path], encoding: .utf8)
        try workspace.write("{\"zzz\": 3," + configuration.dropFirst(), to: path)
        let spec = try workspace.spec(
            input: TinyLlama.base4Bit,
            steps: #"{"op": "attach-adapter", "path": "{adapter}"}, {"op": "merge-in-4bit"}"#,
            output: #"{"path": "out-{name}"}"#)
        let run = try QConvRun(["batch", spec, "--keep-going", "--adapters", workspace.path("checkpoint-*")])
        #expect(run.output.contains("\n  zzz is 3 (a field that"), "\(run.output)")
        #expect(run.errors.contains("merged here:\n  zzz is 3 (a field that"), "\(run.errors)")
        #expect(!(run.output + run.errors).contains("\\u{a}"))
    }
}
