import Foundation
import LosslessJSON
import TestSupport
import Testing

/// `"require"`, `"fail_if"` and `"on_failure"` of a spec's report.
@Suite struct GatesInSpecTests {
    private let workspace: Workspace

    init() throws {
        workspace = try Workspace()
    }

    private func run(_ report: String, rounding: String = "nearest", _ arguments: [String] = []) throws -> QConvRun {
        let spec = try workspace.spec(
            input: TinyLlama.base4Bit,
            steps: TinyLlama.attach(200) + #", {"op": "merge-in-4bit", "rounding": "\#(rounding)"}"#, report: report)
        return try QConvRun(["pipeline", spec] + arguments)
    }

    @Test func aBadMergeIsStopped() throws {
        let run = try run(#"{"json": "report.json", "require": ["update_kept >= 0.9"]}"#)
        #expect(run.status == 1)
        #expect(run.output.contains("gate failed: require update_kept >= 0.9: 28 of 28 tensors: model.layers."))
        #expect(run.output.contains("The output was not put in place"))
        #expect(run.errors.isEmpty)
        // The report says why; nothing else is left.
        #expect(try workspace.names() == ["report.json", "spec.json"])
        let report = try JSONValue(parsing: Data(contentsOf: workspace["report.json"]))
        #expect(try JSONSchema(PackageFiles.json("formats/report.schema.json")).violations(in: report) == [])
        #expect(report["discarded"]?.bool == true)
        let gate = try #require(report["gates"]?.array?.first)
        #expect(gate["passed"]?.bool == false)
        #expect(gate["checked"]?.int == 28)
        #expect(gate["failed"]?.array?.count == 28)
    }

    @Test func whatStoodThereStays() throws {
        try workspace.write("precious", to: "out/config.json")
        try workspace.write("", to: "out/model.safetensors")
        let run = try run(#"{"fail_if": ["update_kept < 90%"]}"#, ["--force"])
        #expect(run.status == 1)
        #expect(try String(contentsOf: workspace["out/config.json"], encoding: .utf8) == "precious")
    }

    @Test func keepKeeps() throws {
        let run = try run(
            #"{"json": "report.json", "fail_if": ["update_kept < 0.9"], "on_failure": "keep"}"#, ["--quiet"])
        #expect(run.status == 1)
        #expect(run.output.isEmpty)
        #expect(run.errors.contains("qconv: gate failed: fail if update_kept < 0.9: 28 of 28 tensors"))
        #expect(workspace.exists("out/model.safetensors"))
        let report = try JSONValue(parsing: Data(contentsOf: workspace["report.json"]))
        #expect(report["discarded"]?.bool == false)
    }

    @Test func aGoodMergePasses() throws {
        let run = try run(
            #"{"require": ["overall.update_kept >= 95%"], "fail_if": ["relative_error > 0.5", "nonfinite_written > 0"]}"#,
            rounding: "stochastic")
        #expect(run.status == 0)
        #expect(run.output.contains("gate passed: require overall.update_kept >= 95%"))
        #expect(workspace.exists("out/model.safetensors"))
    }

    @Test func allOutputsStandOrFallTogether() throws {
        let spec = try workspace.spec(
            input: TinyLlama.base4Bit,
            steps: TinyLlama.attach(200)
                + #", {"op": "dequantize-merge"}, {"op": "save", "path": "dense"}, {"op": "requantize", "rounding": "nearest"}"#,
            report: #"{"require": ["update_kept >= 0.9"]}"#)
        let run = try QConvRun(["pipeline", spec])
        #expect(run.status == 1)
        #expect(run.output.contains("of 56 tensors: out: model."))
        #expect(run.output.contains("The outputs were not put in place"))
        #expect(try workspace.names() == ["spec.json"])
    }

    @Test(arguments: [
        (#"{"require": ["nonsense"]}"#, "report: the gate \"nonsense\": is no condition"),
        (#"{"require": ["error < 1"]}"#, "there is no figure \"error\"; there are relative_error, "),
        (#"{"require": []}"#, "it must be a list of strings"),
        (#"{"on_failure": "keep"}"#, "\"on_failure\" is about gates, and there are none"),
        (#"{"fail_if": ["rmse > 1"], "on_failure": "ignore"}"#, "it must be \"discard\" or \"keep\""),
    ])
    func badGates(report: String, message: String) throws {
        let run = try run(report)
        #expect(run.status == 2)
        #expect(run.errors.contains(message), "\(run.errors)")
        #expect(!workspace.exists("out"))
    }

    @Test func aGateOnAnUpdateNeedsOne() throws {
        let spec = try workspace.spec(
            input: TinyLlama.base16Bit, steps: #"{"op": "quantize"}"#, report: #"{"require": ["update_kept > 0"]}"#)
        let run = try QConvRun(["pipeline", spec])
        #expect(run.status == 2)
        #expect(run.errors.contains("looks at an update, and no adapter is merged"))
    }
}
