import Foundation
import Testing

/// Outputs and reports never take the place of each other, of the spec, or of what is read, not even with `--force`.
@Suite struct DestinationTests {
    private let workspace: Workspace

    init() throws {
        workspace = try Workspace()
    }

    private static let cast = #"{"op": "cast", "dtype": "f32"}"#

    /// Runs a command that must be refused for its paths, and checks that it changes nothing.
    private func expectRefusal(
        _ arguments: [String], saying phrase: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let before = try workspace.contents(of: ".")
        let run = try QConvRun(arguments)
        #expect(run.status == 2, "\(run.errors)", sourceLocation: sourceLocation)
        #expect(run.errors.contains(phrase), "\(run.errors)", sourceLocation: sourceLocation)
        #expect(run.output.isEmpty, sourceLocation: sourceLocation)
        #expect(try workspace.contents(of: ".") == before, sourceLocation: sourceLocation)
    }

    @Test(arguments: [
        (#"{"path": "m.nf4"}"#, #"{"json": "m.nf4"}"#, "report: "),
        (#"{"path": "m.nf4"}"#, #"{"json": "./other/../m.nf4"}"#, "the report is the output "),
        (#"{"path": "out"}"#, #"{"json": "out/model.safetensors"}"#, "the report lies inside the output "),
        (#"{"path": "out"}"#, #"{"csv": "out/config.json"}"#, "the report lies inside the output "),
        (#"{"path": "reports/out"}"#, #"{"html": "reports"}"#, "the report contains the output "),
        (#"{"path": "out"}"#, #"{"json": "same", "csv": "same"}"#, "the report is another report, "),
        (#"{"path": "out"}"#, #"{"json": "spec.json"}"#, "the report is the spec "),
        (#"{"path": "out"}"#, #"{"json": "model/config.json"}"#, "the report lies inside the input "),
        (#"{"path": "spec.json"}"#, "{}", "the output is the spec "),
    ])
    func reportsTakeNobodysPlace(output: String, report: String, phrase: String) throws {
        try FileManager.default.copyItem(atPath: TinyLlama.base16Bit, toPath: workspace.path("model"))
        let spec = try workspace.spec(
            input: "model", steps: DestinationTests.cast, output: output, report: report)
        for arguments in [["--plan"], [], ["--force"]] {
            try expectRefusal(["pipeline", spec] + arguments, saying: phrase)
        }
    }

    @Test func filesBesideAnInputAreInputs() throws {
        try FileManager.default.copyItem(atPath: TinyLlama.base16Bit, toPath: workspace.path("model"))
        let spec = try workspace.spec(
            input: "model/model.safetensors", steps: DestinationTests.cast,
            report: #"{"json": "model/config.json"}"#)
        try expectRefusal(["pipeline", spec, "--force"], saying: "the report is the input ")
    }

    @Test func combinedAdaptersAreProtected() throws {
        for name in ["one", "two"] {
            try FileManager.default.copyItem(atPath: TinyLlama.adapter(50), toPath: workspace.path(name))
        }
        let steps = #"""
            {"op": "attach-adapter", "adapters": [{"path": "one"}, {"path": "two"}], "combination": "cat"},
            {"op": "dequantize-merge"}
            """#
        let spec = try workspace.spec(
            input: TinyLlama.base4Bit, steps: steps, report: #"{"json": "two/adapter_config.json"}"#)
        try expectRefusal(["pipeline", spec, "--force"], saying: "the report lies inside the adapter ")
    }

    @Test(arguments: [("n", "n/in", "lies inside another output, "), ("n/in", "n", "contains another output, ")])
    func outputsInsideOutputsAreRefused(first: String, second: String, phrase: String) throws {
        let spec = try workspace.spec(
            input: TinyLlama.base16Bit, steps: #"{"op": "save", "path": "\#(first)"}, \#(DestinationTests.cast)"#,
            output: #"{"path": "\#(second)"}"#)
        try expectRefusal(["pipeline", spec, "--plan"], saying: phrase)
        try expectRefusal(["pipeline", spec], saying: phrase)
    }

    /// A model given by its path has no spec, whatever is called so.
    @Test func aShortFormHasNoSpec() throws {
        try qconv("convert", TinyLlama.base16Bit, workspace.path("convert"), "--dtype", "f32", "--quiet")
        #expect(workspace.exists("convert/config.json"))
    }

    @Test func aPageTakesNoModelsPlace() throws {
        try FileManager.default.copyItem(atPath: TinyLlama.base16Bit, toPath: workspace.path("model"))
        try FileManager.default.copyItem(atPath: TinyLlama.adapter(50), toPath: workspace.path("adapter"))
        let (base, model) = (TinyLlama.base4Bit, workspace.path("model"))
        for page in ["model", "model/model.safetensors", "model/page.html"] {
            try expectRefusal(["diff", base, model, "--html", workspace.path(page)], saying: "the input ")
        }
        let file = workspace.path("model/model.safetensors")
        try expectRefusal(
            ["diff", base, file, "--html", workspace.path("model/config.json")], saying: "the input ")
        try expectRefusal(
            ["diff", base, model, "--adapter", workspace.path("adapter")]
                + ["--html", workspace.path("adapter/adapter_config.json")], saying: "the adapter ")

        try FileManager.default.createDirectory(at: workspace["pages"], withIntermediateDirectories: true)
        try expectRefusal(
            ["diff", base, model, "--html", workspace.path("pages")], saying: "is a directory, and the report is a file"
        )
        // An earlier page makes room for a new one.
        for _ in 0..<2 {
            #expect(try QConvRun(["diff", base, model, "--html", workspace.path("page.html"), "--quiet"]).status == 1)
        }
        #expect(try String(contentsOf: workspace["page.html"], encoding: .utf8).contains("qconv diff"))
    }

    @Test func reportsOnBatchesTakeNobodysPlace() throws {
        try FileManager.default.copyItem(
            at: TinyLlama.directory.appendingPathComponent("adapters"), to: workspace["runs"])
        let spec = try workspace.spec(
            input: TinyLlama.base4Bit,
            steps: #"{"op": "attach-adapter", "path": "{adapter}"}, {"op": "merge-in-4bit"}"#,
            output: #"{"path": "out/{name}"}"#)
        let batch = [spec, "--adapters", workspace.path("runs/*")]
        func expectRefusals() throws {
            for (report, phrase) in [
                ("spec.json", "the report is the spec "),
                ("runs/checkpoint-50/adapter_config.json", "the report lies inside the adapter "),
                ("out/checkpoint-50/config.json", "contains "),
            ] {
                for command in [["batch"], ["batch", "finish"]] {
                    try expectRefusal(command + batch + ["--report", workspace.path(report)], saying: phrase)
                }
            }
        }
        try expectRefusals()
        try qconv(["batch"] + batch + ["--report", workspace.path("all.json"), "--quiet"])
        // Now all of them are finished, and what they were made from is looked at all the same.
        try expectRefusals()
        try qconv(["batch"] + batch + ["--report", workspace.path("all.json"), "--quiet"])

        // One adapter's output, in the directory of another one.
        try expectRefusal(
            ["batch", spec, "--adapters", workspace.path("runs/checkpoint-50"), workspace.path("runs/checkpoint-200")]
                + ["--output", workspace.path("runs/checkpoint-200/{name}")],
            saying: "the output lies inside the adapter ")
    }
}
