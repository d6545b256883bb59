import Foundation
import LosslessJSON
import TestSupport
import Testing

/// An adapter for a model that calls its layers otherwise.
@Suite struct NameRulesTests {
    private func path(_ name: String) -> String { PickleFixtures.directory.appendingPathComponent(name).path }

    /// The model of the fixtures with its text model under another prefix.
    private func rename(_ prefix: String, _ workspace: Workspace, to name: String) throws {
        let data = try Data(contentsOf: URL(fileURLWithPath: path("model/safetensors/model.safetensors")))
        let count = Int(data.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
        let header = String(decoding: data.dropFirst(8).prefix(count), as: UTF8.self)
        try workspace.safetensors(
            header.replacingOccurrences(of: "\"model.", with: "\"\(prefix)"), data: data.dropFirst(8 + count), to: name)
    }

    private func steps(_ extra: String = "") -> String {
        """
        {"op": "attach-adapter", "path": "\(path("adapter/safetensors"))"\(extra)}, {"op": "dequantize-merge", "dtype": "f32"}
        """
    }

    @Test func theRuleIsReported() throws {
        let workspace = try Workspace()
        try rename("model.language_model.", workspace, to: "base.safetensors")
        let spec = try workspace.spec(
            input: "base.safetensors", steps: steps(), output: #"{"path": "out.safetensors"}"#,
            report: #"{"json": "report.json"}"#)
        let warning = "its names were matched by a rule"
        let plan = try QConvRun(["pipeline", spec, "--plan"])
        #expect(plan.status == 0 && plan.output.contains(warning), "\(plan.errors) \(plan.output)")
        let run = try QConvRun(["pipeline", spec, "--quiet"])
        try #require(run.status == 0, "\(run.errors)")
        #expect(try String(contentsOf: workspace["report.json"], encoding: .utf8).contains(warning))

        // The same bytes as where names agree.
        let direct = try workspace.spec(
            input: path("model/safetensors"), steps: steps(), output: #"{"path": "direct.safetensors"}"#)
        try #require(try QConvRun(["pipeline", direct, "--quiet"]).status == 0)
        let renamed = try StoredTensors(workspace["out.safetensors"])
        for (name, tensor) in try StoredTensors(workspace["direct.safetensors"]).tensors {
            let other = name.replacingOccurrences(of: "model.", with: "model.language_model.")
            #expect(renamed[other]?.data == tensor.data, "\(name)")
        }
    }

    @Test func aRuleCanBeGiven() throws {
        let workspace = try Workspace()
        try rename("brain.", workspace, to: "base.safetensors")
        func run(_ extra: String) throws -> QConvRun {
            let spec = try workspace.spec(
                input: "base.safetensors", steps: steps(extra), output: #"{"path": "out.safetensors"}"#)
            return try QConvRun(["pipeline", spec, "--quiet", "--force"])
        }
        #expect(try run("").errors.contains("not in the model"))
        #expect(try run(#", "rename": "s/^model/brain/""#).status == 0)
        #expect(try run(#", "rename": "s/^modl/brain/""#).errors.contains("changes none of the adapter's names"))
        #expect(try run(#", "rename": "model=brain""#).errors.contains("is no rule"))
    }
}
