import Foundation
import LosslessJSON
import TestSupport
import Testing

/// `attach-adapter` with several adapters in one step.
@Suite struct CombinedStepTests {
    private let base = PickleFixtures.directory.appendingPathComponent("model/safetensors").path
    private let adapter = PickleFixtures.directory.appendingPathComponent("adapter/zip").path

    private func run(_ attach: String, _ workspace: Workspace, output: String = "out.safetensors") throws -> QConvRun {
        let spec = try workspace.spec(
            input: base, steps: attach + #", {"op": "dequantize-merge", "dtype": "f32"}"#,
            output: #"{"path": "\#(output)"}"#, report: #"{"json": "report.json"}"#)
        return try QConvRun(["pipeline", spec, "--quiet", "--force"])
    }

    private func combined(_ extra: String, second: String = "0.5") -> String {
        """
        {"op": "attach-adapter", "adapters": [{"path": "\(adapter)"}, {"path": "\(adapter)", "weight": \(second)}]\(extra)}
        """
    }

    /// Side by side they are the sum; and the other combinations are something else.
    @Test func catIsTheSumOfSteps() throws {
        let workspace = try Workspace()
        let steps = """
            {"op": "attach-adapter", "path": "\(adapter)"}, {"op": "attach-adapter", "path": "\(adapter)", "weight": 0.5}
            """
        try #require(try run(steps, workspace, output: "sum.safetensors").status == 0)
        let cat = try run(combined(#", "combination": "cat""#), workspace)
        try #require(cat.status == 0, "\(cat.errors)")
        let sum = try StoredTensors(workspace["sum.safetensors"])
        let name = "model.layers.0.q_proj.weight"
        let ours = try #require(try StoredTensors(workspace["out.safetensors"])[name]).floats
        let expected = try #require(sum[name]).floats
        #expect(zip(ours, expected).allSatisfy { abs($0 - $1) < 1e-5 })
        #expect(try String(contentsOf: workspace["report.json"], encoding: .utf8).contains("cat of"))
        try #require(try run(combined(#", "combination": "ties", "density": 0.5"#), workspace).status == 0)
        let ties = try #require(try StoredTensors(workspace["out.safetensors"])[name]).floats
        #expect(zip(ties, expected).contains { abs($0 - $1) > 1e-3 })
    }

    @Test(arguments: [
        (#""#, "\"combination\" is missing"),
        (#", "combination": "ties_svd""#, "\"cat\" is the exact sum"),
        (#", "combination": "sum""#, "it must be \"linear\""),
        (#", "combination": "ties""#, "\"density\" is missing"),
        (#", "combination": "ties", "density": 0"#, "\"density\" is 0"),
        (#", "combination": "ties", "density": 1.5"#, "\"density\" is 1.5"),
        (#", "combination": "cat", "density": 0.5"#, "\"density\" has no effect with \"cat\""),
        (#", "combination": "linear", "seed": 1"#, "\"seed\" has no effect with \"linear\""),
        (#", "combination": "linear", "majority_sign_method": "total""#, "no effect with \"linear\""),
        (#", "combination": "cat", "path": "x""#, "are both given"),
    ])
    func whatMakesNoSenseIsRefused(extra: String, message: String) throws {
        let run = try run(combined(extra), Workspace())
        #expect(run.status == 2 && run.errors.contains(message), "\(run.errors)")
    }

    @Test func keysOfCombinationsNeedAdapters() throws {
        let alone = #"{"op": "attach-adapter", "path": "x", "density": 0.5}"#
        #expect(try run(alone, Workspace()).errors.contains("\"density\" has no effect without \"adapters\""))
        let one = #"{"op": "attach-adapter", "adapters": [{"path": "x"}], "combination": "cat"}"#
        #expect(try run(one, Workspace()).errors.contains("has one adapter"))
        let unknown = #"{"op": "attach-adapter", "adapters": [{"path": "x", "wieght": 1}], "combination": "cat"}"#
        #expect(try run(unknown, Workspace()).errors.contains("did you mean \"weight\"?"))
    }
}
