import Foundation
import LosslessJSON
import TestSupport
import Testing

/// `qconv diff` on the real model in examples/, through the built binary.
@Suite struct DiffTests {
    private let workspace: Workspace

    init() throws {
        workspace = try Workspace()
    }

    private func diff(_ arguments: [String]) throws -> QConvRun { try QConvRun(["diff"] + arguments) }

    private func json(_ arguments: [String]) throws -> JSONValue {
        let run = try diff(arguments + ["--json"])
        try #require(run.status < 2, "\(run.errors)")
        return try JSONValue(parsing: run.output)
    }

    /// Merges an adapter into the 4-bit model and answers the output's path.
    private func merged(_ rounding: String, step: Int = 200, output: String = #"{"path": "out"}"#) throws -> String {
        let spec = try workspace.spec(
            input: TinyLlama.base4Bit,
            steps: TinyLlama.attach(step) + #", {"op": "merge-in-4bit", "rounding": "\#(rounding)"}"#, output: output)
        let run = try QConvRun(["pipeline", spec, "--quiet", "--force"])
        try #require(run.status == 0, "\(run.errors)")
        return workspace.path("out")
    }

    @Test func aModelIsIdenticalToItself() throws {
        let run = try diff([TinyLlama.base4Bit, TinyLlama.base4Bit])
        #expect(run.status == 0)
        #expect(run.output.hasSuffix("The models are identical: all 38 tensors, byte for byte.\n"))
        #expect(run.errors.isEmpty)
    }

    @Test func shardsMakeNoDifference() throws {
        let spec = try workspace.spec(
            input: TinyLlama.base4Bit, steps: "", output: #"{"path": "out", "max_shard_size": "200KB"}"#)
        #expect(try QConvRun(["pipeline", spec, "--quiet"]).status == 0)
        #expect(try workspace.names(in: "out").count { $0.hasSuffix(".safetensors") } > 3)
        let run = try diff([TinyLlama.base4Bit, workspace.path("out")])
        #expect(run.status == 0)
        #expect(run.output.contains("The models are identical"))
    }

    @Test func aWiderDTypeIsEqual() throws {
        let spec = try workspace.spec(
            input: TinyLlama.base16Bit, steps: #"{"op": "cast", "dtype": "f32"}"#)
        #expect(try QConvRun(["pipeline", spec, "--quiet"]).status == 0)
        let run = try diff([TinyLlama.base16Bit, workspace.path("out")])
        #expect(run.status == 0)
        #expect(
            run.output.hasSuffix(
                "The models are equal: every value is the same in all 38 tensors, though 38 are stored differently.\n")
        )
    }

    @Test func documentsFollowTheirSchema() throws {
        let schema = try JSONSchema(PackageFiles.json("formats/diff.schema.json"))
        let out = try merged("auto")
        for arguments in [
            [TinyLlama.base4Bit, TinyLlama.base4Bit], [TinyLlama.base4Bit, TinyLlama.base16Bit],
            [TinyLlama.base4Bit, out, "--adapter", TinyLlama.adapter(200), "--fail-if", "missing > 0"],
            [TinyLlama.adapter(50), TinyLlama.adapter(100)],
            [DiffTests.fixture("a.safetensors"), DiffTests.fixture("b.safetensors")],
            [DiffTests.fixture("a.safetensors"), DiffTests.fixture("base.safetensors")],
        ] {
            let document = try json(arguments)
            #expect(schema.violations(in: document) == [], "\(arguments)")
            let csv = try diff(arguments + ["--csv"]).output
            let keys = document["tensors"]?.array?.first?.object?.keys.filter { $0 != "histogram" }
            #expect(csv.components(separatedBy: "\r\n").first == keys?.joined(separator: ","))
            #expect(csv.components(separatedBy: "\r\n").count - 2 == document["tensors"]?.array?.count)
        }
    }

    static func fixture(_ name: String) -> String {
        PackageFiles.root.appendingPathComponent("Tests/Fixtures/comparison/\(name)").path
    }

    @Test func figuresAgreeWithThePipelinesReport() throws {
        let spec = try workspace.spec(
            input: TinyLlama.base4Bit, steps: TinyLlama.attach(200) + #", {"op": "merge-in-4bit"}"#,
            report: #"{"json": "report.json"}"#)
        #expect(try QConvRun(["pipeline", spec, "--quiet"]).status == 0)
        let report = try JSONValue(parsing: Data(contentsOf: workspace["report.json"]))
        let document = try json([TinyLlama.base4Bit, workspace.path("out"), "--adapter", TinyLlama.adapter(200)])
        let rows = try #require(report["outputs"]?.array?.first?["tensors"]?.array)
        let found = try #require(document["tensors"]?.array)
        #expect(rows.count == found.count)
        var compared = 0
        for (row, tensor) in zip(rows, found) {
            #expect(row["name"] == tensor["name"])
            guard let kept = row["update_kept"]?.double else { continue }
            compared += 1
            let pairs = [
                (kept, tensor["update_kept"]?.double),
                (row["update_ratio"]?.double ?? 0, tensor["update_ratio"]?.double),
                (row["relative_error"]?.double ?? 0, tensor["merge_error"]?.double),
                (row["codes_changed"]?.double ?? 0, tensor["codes_changed"]?.double),
            ]
            for (left, right) in pairs {
                let right = try #require(right)
                // A conversion adds in float32 over short runs, a comparison all in float64.
                #expect(abs(left - right) <= 1e-6 * abs(left), "\(row["name"]?.string ?? "")")
            }
        }
        #expect(compared == 28)
    }

    @Test func theLostAdapterIsTold() throws {
        let run = try diff([TinyLlama.base4Bit, try merged("nearest", step: 50), "--adapter", TinyLlama.adapter(50)])
        #expect(run.status == 1)
        #expect(run.output.contains("The second has lost the adapter: "))
        #expect(run.output.contains(" erased"))
        let kept = try diff([TinyLlama.base4Bit, try merged("stochastic"), "--adapter", TinyLlama.adapter(200)])
        #expect(kept.output.contains("The second keeps the adapter: 98."))
    }

    @Test func gatesDecide() throws {
        let out = try merged("nearest")
        func status(_ gates: [String]) throws -> Int32 {
            try diff([TinyLlama.base4Bit, out, "--adapter", TinyLlama.adapter(200), "--quiet"] + gates).status
        }
        #expect(try status([]) == 1)
        #expect(try status(["--fail-if", "missing > 0"]) == 0)
        #expect(try status(["--fail-if", "update_kept < 0.9"]) == 1)
        #expect(try status(["--require", "update_kept >= 0.9"]) == 1)
        #expect(try status(["--require", "overall.update_kept > 5%", "--fail-if", "relative_error > 20%"]) == 0)
        #expect(try status(["--require", "overall.update_kept > 5%", "--fail-if", "relative_error > 2%"]) == 1)

        let run = try diff(
            [TinyLlama.base4Bit, out, "--adapter", TinyLlama.adapter(200), "--json", "--fail-if", "update_kept < 0.01"])
        #expect(run.status == 1)
        #expect(run.errors.contains("gate failed: fail if update_kept < 0.01: 1 of 28 tensors: model.layers."))
        let gates = try JSONValue(parsing: run.output)["gates"]?.array
        #expect(gates?.first?["failed"]?.array?.count == 1)
    }

    @Test func adaptersAreCompared() throws {
        #expect(try diff([TinyLlama.adapter(100), TinyLlama.adapter(100)]).status == 0)
        let run = try diff([TinyLlama.adapter(100), TinyLlama.adapter(200)])
        #expect(run.status == 1)
        #expect(run.output.contains("\nmodel.layers.0-3.mlp.down_proj.lora_B"))
    }

    @Test func aContainerIsAModelLikeAnother() throws {
        #expect(try QConvRun(["convert", TinyLlama.base4Bit, workspace.path("base.nf4"), "--quiet"]).status == 0)
        #expect(try diff([TinyLlama.base4Bit, workspace.path("base.nf4"), "--quiet"]).status == 0)
        let directory = try json([TinyLlama.base16Bit, TinyLlama.base4Bit])
        let container = try json([TinyLlama.base16Bit, workspace.path("base.nf4")])
        #expect(container["summary"]?["relative_error"] == directory["summary"]?["relative_error"])
        #expect(container["tensors"]?.array?.map { $0["p99_9"] } == directory["tensors"]?.array?.map { $0["p99_9"] })
    }

    /// Whoever compares containers compares what their users run: base and adapter.
    @Test func adaptersInContainersCount() throws {
        func container(_ path: String, _ name: String, weight: String = "1") throws -> String {
            let spec = try workspace.spec(
                input: TinyLlama.base4Bit,
                steps: #"{"op": "attach-adapter", "path": "\#(path)", "weight": \#(weight)}"#,
                output: #"{"path": "\#(name)"}"#)
            try qconv("pipeline", spec, "--quiet")
            return workspace.path(name)
        }
        func words(_ run: QConvRun) -> String {
            run.output.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        }
        try FileManager.default.copyItem(atPath: TinyLlama.adapter(200), toPath: workspace.path("tuned"))
        let with = try container("tuned", "a.nf4")
        for (models, side, status) in [
            ([with, TinyLlama.base4Bit], "first", "only_in_a"), ([TinyLlama.base4Bit, with], "second", "only_in_b"),
        ] {
            let run = try diff(models)
            #expect(run.status == 1)
            #expect(words(run).hasSuffix(" The unmerged adapter tuned is only in the \(side)."), "\(run.output)")
            #expect(try diff(models + ["--quiet"]).status == 1)
            let document = try json(models)
            #expect(document["verdict"]?["outcome"] == "different")
            #expect(document["contained_adapters"]?.array?.map { $0["status"]?.string } == [status])
            let schema = try JSONSchema(PackageFiles.json("formats/diff.schema.json"))
            #expect(schema.violations(in: document) == [])
            #expect(try diff(models + ["--fail-if", "adapters_differ > 0"]).status == 1)
            #expect(try diff(models + ["--fail-if", "different > 0"]).status == 0)
        }
        // What an adapter is called depends on the path that it was attached by.
        #expect(try diff([with, container(TinyLlama.adapter(200), "b.nf4")]).status == 0)
        #expect(try diff([with, container("tuned", "weight.nf4", weight: "0.5")]).status == 1)
        // Another training under the same name, in the same shapes.
        try FileManager.default.removeItem(at: workspace["tuned"])
        try FileManager.default.copyItem(atPath: TinyLlama.adapter(150), toPath: workspace.path("tuned"))
        let other = try diff([with, container("tuned", "other.nf4")])
        #expect(other.status == 1)
        #expect(words(other).hasSuffix(" The unmerged adapter tuned is not the same in both."), "\(other.output)")
    }

    @Test func labelsDoNotRunIntoNames() throws {
        for (name, tensor) in [("a", "i"), ("b", "s")] {
            try workspace.safetensors(
                #"{"\#(tensor)":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}"#, data: Data(count: 2),
                to: "\(name).safetensors")
        }
        let run = try diff([workspace.path("a.safetensors"), workspace.path("b.safetensors")])
        #expect(run.output.contains("\nonly in a i [1] bf16\nonly in b s [1] bf16\n"), "\(run.output)")
    }

    @Test func whatWasZeroAndIsNotComesFirstAndFails() throws {
        let run = try diff([
            DiffTests.fixture("a.safetensors"), DiffTests.fixture("b.safetensors"), "--include", "from-zeros",
            "--include", "broken", "--fail-if", "relative_error > 50%", "--sort", "error",
        ])
        #expect(run.status == 1)
        let words = run.output.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        #expect(words.contains("gate failed: fail if relative_error > 50%: 1 of 2 tensors: from-zeros (inf)"))
        let lines = run.output.split(separator: "\n")
        let first = lines.firstIndex { $0.hasPrefix("from-zeros ") && $0.contains(" inf ") }
        let second = lines.firstIndex { $0.hasPrefix("broken ") }
        #expect(try #require(first) < #require(second))
        #expect(run.output.contains("\nnan, inf  2 NaN and 2 infinite in a, 2 NaN and 2 infinite in b\n"))
    }

    @Test func textFitsItsWidth() throws {
        let out = try merged("auto")
        let run = try diff([TinyLlama.base4Bit, out, "--adapter", TinyLlama.adapter(200), "--all"])
        #expect(run.output.split(separator: "\n").allSatisfy { $0.count <= 100 })
    }

    @Test func everyTensorIsListed() throws {
        let out = try merged("auto")
        let run = try diff([TinyLlama.base4Bit, out, "--all", "--sort", "model"])
        #expect(run.output.contains("model.layers.3.mlp.up_proj"))
        #expect(run.output.contains("same"))
        let few = try diff([TinyLlama.base4Bit, out, "--top", "2"])
        #expect(few.output.contains("… and 5 more lines (--top)"))
    }

    @Test(arguments: [
        (["nowhere", "base"], "nowhere: cannot open"),
        (["base", "base", "--map", "x"], "--map \"x\": is no rule"),
        (["base", "base", "--include", "nothing"], "the pattern \"nothing\" matches no tensor"),
        (
            ["base", "base", "--include", "model.norm.weight", "--exclude", "*norm*"],
            "with --include \"model.norm.weight\" and --exclude \"*norm*\" no tensor is left to compare"
        ),
        (["base", "base", "--exclude", "*", "--quiet"], "with --exclude \"*\" no tensor"),
        (["base", "base", "--fail-if", "nonsense"], "the gate \"nonsense\": is no condition"),
        (["base", "base", "--fail-if", "update_kept < 1"], "give --adapter"),
        (["base", "adapter"], "is an adapter and"),
        (["adapter", "adapter", "--adapter", "adapter"], "give the base model first"),
        (["base", "base", "--tolerance=-1"], "--tolerance must be"),
        (["base", "base", "--json", "--csv"], "only one of"),
        (["base", "base", "--memory", "1KB"], "--memory: 1000 bytes are not enough"),
        (["base"], "Missing expected argument"),
    ])
    func badInput(arguments: [String], message: String) throws {
        let names = ["base": TinyLlama.base4Bit, "adapter": TinyLlama.adapter(50)]
        let run = try diff(arguments.map { names[$0] ?? $0 })
        #expect(run.status == 2)
        #expect(run.errors.contains(message), "\(run.errors)")
        #expect(run.output.isEmpty)
    }
}
