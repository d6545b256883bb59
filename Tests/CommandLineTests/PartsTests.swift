import Foundation
import LosslessJSON
import Testing

/// Conversions that several processes share, finished, beside those of a single process.
@Suite struct PartsTests {
    private let workspace: Workspace

    init() throws {
        workspace = try Workspace()
    }

    /// A report without what depends on the run or on where it was written.
    private func report(_ name: String) throws -> String {
        var report = try JSONValue(parsing: Data(contentsOf: workspace[name]))
        report["run"] = nil
        report["spec"] = nil
        return report.serialized()
            .replacingOccurrences(of: "whole", with: "out").replacingOccurrences(of: "parts", with: "out")
    }

    private func modelSpec(_ name: String, merge: String, extra: String = "") throws -> String {
        try workspace.write(
            """
            {"input": "\(TinyLlama.base4Bit)", "steps": [\(TinyLlama.attach(200)), \(merge)],
             "output": {"path": "\(name)", "max_shard_size": "300KB"}, "report": {"json": "\(name).json"\(extra)}}
            """, to: "\(name)-spec.json")
        return workspace.path("\(name)-spec.json")
    }

    @Test(arguments: [
        #"{"op": "merge-in-4bit"}"#, #"{"op": "merge-in-4bit", "rounding": "nearest", "scales": "fresh"}"#,
        #"{"op": "dequantize-merge", "dtype": "bf16"}"#,
    ])
    func threePartsOfAModelAreTheSingleRun(merge: String) throws {
        try qconv("pipeline", modelSpec("whole", merge: merge), "--quiet")
        let spec = try modelSpec("parts", merge: merge)
        // In any order, and with any number of threads.
        for part in ["3/3", "1/3"] { try qconv("pipeline", spec, "--part", part, "--threads", "1", "--quiet") }
        let early = try QConvRun(["batch", "finish", spec])
        #expect(early.status == 2)
        #expect(early.errors.contains("part 2/3 is missing"), "\(early.errors)")
        #expect(!workspace.exists("parts"))
        try qconv("pipeline", spec, "--part", "2/3", "--threads", "2", "--quiet")
        try qconv("batch", "finish", spec, "--quiet")
        #expect(try workspace.contents(of: "parts") == workspace.contents(of: "whole"))
        #expect(try report("parts.json") == report("whole.json"))
        #expect(!workspace.exists(".parts.qconv-parts"))
    }

    /// A head that an adapter unties comes of the embedding, and may lie in another part's shard.
    @Test func tensorsOfOneTensorMayLieInDifferentParts() throws {
        let fixtures = PartsTests.kinds
        func spec(_ name: String) throws -> String {
            try workspace.write(
                """
                {"input": "\(fixtures)/bases/tied", "output": {"path": "\(name)", "max_shard_size": "6KB"},
                 "steps": [{"op": "attach-adapter", "path": "\(fixtures)/adapters/tied-saved-head"},
                           {"op": "dequantize-merge"}], "report": {"json": "\(name).json"}}
                """, to: "\(name)-spec.json")
            return workspace.path("\(name)-spec.json")
        }
        try qconv("pipeline", spec("whole"), "--quiet")
        let shards = try workspace.names(in: "whole").count { $0.hasSuffix(".safetensors") }
        for number in 1...shards { try qconv("pipeline", spec("parts"), "--part", "\(number)/\(shards)", "--quiet") }
        try qconv("batch", "finish", spec("parts"), "--quiet")
        #expect(try workspace.contents(of: "parts") == workspace.contents(of: "whole"))
        #expect(try report("parts.json") == report("whole.json"))
    }

    private static let kinds = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/adapter-kinds").path

    /// Parts keep figures although nobody has asked for them yet.
    @Test func quietPartsHaveFigures() throws {
        func spec(_ name: String) throws -> String {
            try workspace.write(
                """
                {"input": "\(TinyLlama.base4Bit)", "steps": [\(TinyLlama.attach(200)), {"op": "merge-in-4bit"}],
                 "output": {"path": "\(name)", "max_shard_size": "300KB"}}
                """, to: "\(name)-spec.json")
            return workspace.path("\(name)-spec.json")
        }
        let whole = try qconv("pipeline", spec("whole"), "--json")
        for part in ["1/2", "2/2"] { try qconv("pipeline", spec("parts"), "--part", part, "--quiet") }
        let parts = try qconv("batch", "finish", spec("parts"), "--json")
        let summaries = try [whole, parts].map { run in
            try #require(JSONValue(parsing: Data(run.output.utf8))["outputs"]?.array?.first?["summary"])
        }
        #expect(summaries[0] == summaries[1])
        #expect(try #require(summaries[0]["update_kept"]?["overall"]?.double) > 0.5)
    }

    @Test func moreItemsThanShardsAndOnePartAlone() throws {
        let merge = #"{"op": "merge-in-4bit"}"#
        try qconv("pipeline", modelSpec("whole", merge: merge), "--quiet")
        let spec = try modelSpec("parts", merge: merge)
        for count in [1, 9] {
            for number in 1...count {
                try qconv("pipeline", spec, "--part", "\(number)/\(count)", "--force", "--quiet")
            }
            try qconv("batch", "finish", spec, "--parts", "\(count)", "--force", "--quiet")
            #expect(try workspace.contents(of: "parts") == workspace.contents(of: "whole"))
        }
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let merge = #"{"op": "merge-in-4bit"}"#
        let spec = try modelSpec("parts", merge: merge)
        let none = try QConvRun(["batch", "finish", spec])
        #expect(none.errors.contains("no part of it has been converted"))
        for part in ["1/2", "2/2"] { try qconv("pipeline", spec, "--part", part, "--quiet") }
        // The other part is made by another spec.
        _ = try modelSpec("parts", merge: #"{"op": "merge-in-4bit", "seed": 1}"#)
        let other = try QConvRun(["batch", "finish", spec])
        #expect(other.status == 2)
        #expect(other.errors.contains("another spec"))
        _ = try modelSpec("parts", merge: merge)
        let shard = try #require(workspace.names(in: ".parts.qconv-parts/2-of-2").first)
        try Data([1]).write(to: workspace[".parts.qconv-parts/2-of-2/\(shard)"])
        let damaged = try QConvRun(["batch", "finish", spec])
        #expect(damaged.status == 2)
        #expect(damaged.errors.contains(shard))
        #expect(!workspace.exists("parts"))

        for part in ["1/2", "2/2"] { try qconv("pipeline", spec, "--part", part, "--quiet") }
        try qconv("pipeline", spec, "--part", "2/3", "--quiet")
        let stray = try QConvRun(["batch", "finish", spec])
        #expect(stray.status == 2)
        #expect(
            stray.errors.contains("it holds parts of 2 and 3; say with --parts N which of them belong together"),
            "\(stray.errors)")
        try qconv("batch", "finish", spec, "--parts", "2", "--quiet")
        #expect(workspace.exists("parts"))

        func refusal(_ output: String, _ arguments: [String], _ text: String) throws {
            let spec = try workspace.spec(
                input: TinyLlama.base4Bit, steps: TinyLlama.attach(50) + ", " + merge, output: output)
            let run = try QConvRun(["pipeline", spec] + arguments)
            #expect(run.status == 2)
            #expect(run.errors.contains(text), "\(run.errors)")
        }
        try refusal(#"{"path": "out"}"#, ["--part", "1/2"], "max_shard_size")
        try refusal(#"{"path": "out.nf4"}"#, ["--part", "1/2"], "the output is one file")
        for part in ["0/2", "3/2", "1", "a/b", "1/2/3"] {
            try refusal(#"{"path": "out", "max_shard_size": "300KB"}"#, ["--part", part], "is no part")
        }
        try refusal(#"{"path": "out", "max_shard_size": "300KB"}"#, ["--part", "auto"], "no array job is known")
    }

    /// Parts that were made before and after a file changed would be two models in one.
    @Test(arguments: [
        ("adapter/adapter_config.json", "\"lora_alpha\": 16", "\"lora_alpha\": 8"),
        ("base/config.json", "\"rope_theta\": 10000.0", "\"rope_theta\": 20000.0"),
    ])
    func partsOfDifferentFilesAreRefused(file: String, text: String, changed: String) throws {
        try FileManager.default.copyItem(atPath: TinyLlama.base4Bit, toPath: workspace.path("base"))
        try FileManager.default.copyItem(atPath: TinyLlama.adapter(200), toPath: workspace.path("adapter"))
        let spec = try workspace.spec(
            input: "base", steps: #"{"op": "attach-adapter", "path": "adapter"}, {"op": "merge-in-4bit"}"#,
            output: #"{"path": "parts", "max_shard_size": "300KB"}"#)
        try qconv("pipeline", spec, "--part", "1/2", "--quiet")
        let whole = try String(contentsOf: workspace[file], encoding: .utf8)
        try #require(whole.contains(text))
        try workspace.write(whole.replacing(text, with: changed), to: file)
        try qconv("pipeline", spec, "--part", "2/2", "--quiet")
        let finish = try QConvRun(["batch", "finish", spec])
        #expect(finish.status == 2)
        #expect(
            finish.errors.contains("1-of-2.json: ") && finish.errors.contains("\(file) has changed since it was made"),
            "\(finish.errors)")
        #expect(!workspace.exists("parts"))
        try qconv("pipeline", spec, "--part", "1/2", "--quiet")
        try qconv("batch", "finish", spec, "--quiet")
    }

    /// Weights that look alike are told apart by the time of their last change, and by their contents where those are known.
    @Test func otherWeightsOfTheSameShapeAreRefused() throws {
        try FileManager.default.copyItem(atPath: TinyLlama.base4Bit, toPath: workspace.path("base"))
        let spec = try workspace.spec(
            input: "base", steps: TinyLlama.attach(200) + #", {"op": "merge-in-4bit"}"#,
            output: #"{"path": "parts", "max_shard_size": "300KB"}"#)
        func finish(after change: Date, _ options: [String]) throws -> QConvRun {
            let part = try QConvRun(["pipeline", spec, "--part", "1/1", "--quiet"] + options)
            try #require(part.status == 0, "\(part.errors)")
            try FileManager.default.setAttributes(
                [.modificationDate: change], ofItemAtPath: workspace.path("base/model.safetensors"))
            return try QConvRun(["batch", "finish", spec, "--quiet"] + options)
        }
        let early = try finish(after: Date(timeIntervalSince1970: 1_000_000), [])
        #expect(early.status == 2)
        #expect(early.errors.contains("base/model.safetensors has changed since it was made"), "\(early.errors)")
        let known = try finish(after: Date(timeIntervalSince1970: 2_000_000), ["--hash"])
        #expect(known.status == 0, "\(known.errors)")
    }

    @Test func aFailedGateKeepsTheParts() throws {
        let merge = #"{"op": "merge-in-4bit"}"#
        let spec = try modelSpec("parts", merge: merge, extra: #", "require": ["overall.update_kept >= 2"]"#)
        try qconv("pipeline", spec, "--part", "1/1", "--quiet")
        #expect(try QConvRun(["batch", "finish", spec]).status == 1)
        #expect(!workspace.exists("parts"))
        #expect(try report("parts.json").contains("\"discarded\""))
        #expect(workspace.exists(".parts.qconv-parts/1-of-1.json"))
    }

    private func batchSpec(_ name: String) throws -> String {
        try workspace.write(
            """
            {"input": "\(TinyLlama.base4Bit)",
             "steps": [{"op": "attach-adapter", "path": "{adapter}"}, {"op": "merge-in-4bit"}],
             "output": {"path": "\(name)/{name}.qpatch"}, "report": {"json": "\(name)/{name}.json"},
             "batch": {"adapters": ["\(TinyLlama.directory.path)/adapters/checkpoint-*"],
                       "report": {"json": "\(name)/all.json", "csv": "\(name)/all.csv"}}}
            """, to: "\(name)-batch.json")
        return workspace.path("\(name)-batch.json")
    }

    @Test func threePartsOfABatchAreTheSingleRun() throws {
        try qconv("batch", batchSpec("whole"), "--quiet")
        let spec = try batchSpec("parts")
        for part in ["2/3", "1/3"] { try qconv("batch", spec, "--part", part, "--quiet") }
        #expect(!workspace.exists("parts/all.json"))
        let early = try QConvRun(["batch", "finish", spec, "--parts", "3"])
        #expect(early.status == 2)
        #expect(
            early.errors.contains("checkpoint-150") && early.errors.contains("part 3/3 is missing"), "\(early.errors)")
        try qconv("batch", spec, "--part", "3/3", "--quiet")
        try qconv("batch", "finish", spec, "--quiet")
        for step in [50, 100, 150, 200] {
            let name = "checkpoint-\(step)"
            #expect(
                try Data(contentsOf: workspace["parts/\(name).qpatch"])
                    == Data(contentsOf: workspace["whole/\(name).qpatch"]))
            #expect(try report("parts/\(name).json") == report("whole/\(name).json"))
        }
        #expect(try report("parts/all.json") == report("whole/all.json"))
        let csv = try ["parts", "whole"].map { try String(contentsOf: workspace["\($0)/all.csv"], encoding: .utf8) }
        #expect(csv[0].replacingOccurrences(of: "parts/", with: "whole/") == csv[1])
    }

    @Test func finishTellsWhyAnAdapterIsMissing() throws {
        let spec = try batchSpec("parts")
        try qconv("batch", spec, "--part", "1/1", "--quiet")
        func refusal(_ spec: String) throws -> String {
            let run = try QConvRun(["batch", "finish", spec])
            #expect(run.status == 2)
            return run.errors
        }
        try FileManager.default.removeItem(at: workspace["parts/checkpoint-50.json"])
        #expect(try refusal(spec).contains("checkpoint-50: its report"))
        try workspace.write(
            try String(contentsOf: workspace["parts/.checkpoint-50.qpatch.qconv-record.json"], encoding: .utf8)
                .replacing("\"done\"", with: "\"converting\""), to: "parts/.checkpoint-50.qpatch.qconv-record.json")
        #expect(try refusal(spec).contains("checkpoint-50: a run has begun with it and not come to its end"))
        let other = try String(contentsOfFile: spec, encoding: .utf8)
            .replacing("\"merge-in-4bit\"", with: "\"merge-in-4bit\", \"seed\": 1")
        try workspace.write(other, to: "parts-batch.json")
        #expect(try refusal(spec).contains("checkpoint-200: it was converted by another spec"))
    }

    /// The variables that Slurm, Kubernetes and AWS Batch set.
    @Test(arguments: [
        "SLURM_ARRAY_TASK_ID=2 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_COUNT=3",
        "SLURM_ARRAY_TASK_ID=14 SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_STEP=4 SLURM_ARRAY_TASK_COUNT=3",
        "SLURM_ARRAY_TASK_ID=2 SLURM_ARRAY_TASK_MIN=2 SLURM_ARRAY_TASK_COUNT=1 QCONV_PARTS=3",
        "JOB_COMPLETION_INDEX=1 QCONV_PARTS=3", "AWS_BATCH_JOB_ARRAY_INDEX=1 AWS_BATCH_JOB_ARRAY_SIZE=3",
    ])
    func theSchedulerTellsThePart(variables: String) throws {
        let spec = try modelSpec("parts", merge: #"{"op": "merge-in-4bit"}"#)
        let run = try QConvRun(["pipeline", spec, "--part", "auto"], limits: "export \(variables)")
        try #require(run.status == 0, "\(run.errors)")
        #expect(run.output.hasPrefix("part 2/3: model-"))
    }

    @Test(arguments: [
        ("JOB_COMPLETION_INDEX=1", "QCONV_PARTS"), ("JOB_COMPLETION_INDEX=3 QCONV_PARTS=3", "number 3 from 0 on, of 3"),
        ("SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_COUNT=2", "number 3 from 0 on, of 2"),
        ("SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_STEP=2", "not evenly spaced"),
        ("AWS_BATCH_JOB_ARRAY_INDEX=x AWS_BATCH_JOB_ARRAY_SIZE=3", "which is no number"),
    ])
    func aSchedulerThatCannotBeReliedOnIsRefused(variables: String, text: String) throws {
        let spec = try modelSpec("parts", merge: #"{"op": "merge-in-4bit"}"#)
        let run = try QConvRun(["pipeline", spec, "--part", "auto"], limits: "export \(variables)")
        #expect(run.status == 2)
        #expect(run.errors.contains(text), "\(run.errors)")
    }

    /// The job files of examples/kubernetes: no cluster runs them here, but their numbers agree and name what exists.
    @Test func theKubernetesExampleIsConsistent() throws {
        let directory = TinyLlama.directory.deletingLastPathComponent().appendingPathComponent("kubernetes")
        func lines(_ name: String) throws -> [String] {
            try String(contentsOf: directory.appendingPathComponent(name), encoding: .utf8)
                .split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
        }
        let job = try lines("job.yaml")
        let finish = try lines("finish.yaml")
        for document in [job, finish] {
            #expect(document.contains("apiVersion: batch/v1") && document.contains("kind: Job"))
            #expect(document.contains("restartPolicy: OnFailure"))
            #expect(document.allSatisfy { !$0.contains("\t") })
        }
        #expect(job.contains("completionMode: Indexed"))
        let completions = try #require(job.first { $0.hasPrefix("completions: ") }?.dropFirst(13))
        let variable = try #require(job.firstIndex(of: "- name: QCONV_PARTS"))
        #expect(job[variable + 1] == "value: \"\(completions)\"")
        #expect(job.contains { $0.contains(#""batch", "/work/batch.json", "--part", "auto""#) })
        #expect(
            finish.contains { $0.contains(#""batch", "finish", "/work/batch.json", "--parts", "\#(completions)""#) })
    }
}
