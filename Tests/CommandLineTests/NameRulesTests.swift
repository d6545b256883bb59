import Foundation
import LosslessJSON
import TestSupport
import Testing

/// An adapter for a model that calls its layers otherwise.
@Suite struct NameRulesTests {
    private func path(_ name: String) -> String { PickleFixtures.directory.appendingPathComponent(name).path }

    /// A model, that of the fixtures where none is given, with its text model under another prefix.
    private func rename(_ prefix: String, of model: URL? = nil, _ workspace: Workspace, to name: String) throws {
        let model = model ?? PickleFixtures.directory.appendingPathComponent("model/safetensors")
        let data = try Data(contentsOf: model.appendingPathComponent("model.safetensors"))
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

    /// A model that ties its head, of which an adapter changes one side, under other names.
    @Test(arguments: [
        ("tied-saved-head", #"s/^model\\./language_model.model./"#, "lm_head.weight"),
        ("tied-saved-head", "s/^/language_model./", "language_model.lm_head.weight"),
        ("tied-saved-embedding", #"s/^model\\./language_model.model./"#, "language_model.lm_head.weight"),
        ("tied-saved-embedding-and-head", "s/^/language_model./", "language_model.lm_head.weight"),
        ("tied-kept", "s/^/language_model./", nil), ("tied-head", "s/^/language_model./", nil),
        ("tied-embedding", "s/^/language_model./", nil),
    ]) func rulesReachTiedHeads(_ adapter: String, _ rename: String?, head: String?) throws {
        let kinds = PackageFiles.root.appendingPathComponent("Tests/Fixtures/adapter-kinds")
        let base = kinds.appendingPathComponent("bases/tied")
        let workspace = try Workspace()
        try self.rename("language_model.model.", of: base, workspace, to: "base/model.safetensors")
        try FileManager.default.copyItem(
            at: base.appendingPathComponent("config.json"), to: workspace["base/config.json"])
        func merge(_ input: String, _ extra: String, to output: String) throws -> StoredTensors {
            let spec = try workspace.spec(
                input: input,
                steps: """
                    {"op": "attach-adapter", "path": "\(kinds.appendingPathComponent("adapters/\(adapter)").path)"\(extra)},
                    {"op": "dequantize-merge"}
                    """, output: #"{"path": "\#(output)"}"#)
            try qconv("pipeline", spec, "--quiet")
            return try StoredTensors(workspace["\(output)/model.safetensors"])
        }
        let direct = try merge(base.path, "", to: "direct")
        let renamed = try merge(workspace.path("base"), rename.map { #", "rename": "\#($0)""# } ?? "", to: "renamed")
        #expect(renamed.tensors.count == direct.tensors.count)
        #expect((direct["lm_head.weight"] != nil) == (head != nil))
        for (name, tensor) in direct.tensors {
            let other = name == "lm_head.weight" ? head ?? "" : "language_model." + name
            #expect(renamed[other] == tensor, "\(name) \(other)")
        }
        let configs = try ["direct", "renamed"].map {
            try JSONValue(parsing: Data(contentsOf: workspace["\($0)/config.json"]))
        }
        #expect(configs[0] == configs[1])
    }
}
