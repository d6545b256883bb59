import Foundation
import Pipeline
import Reports
import SystemPackage
import TestSupport
import Testing

/// Batches over the model in examples/: what is converted, what an earlier run has done, and what goes wrong.
@Suite final class BatchTests {
    private let directory: URL

    init() throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("qconv-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let model = PackageFiles.root.appendingPathComponent("examples/tiny-llama")
        try FileManager.default.copyItem(at: model.appendingPathComponent("base-nf4"), to: self["base"])
        try FileManager.default.copyItem(at: model.appendingPathComponent("adapters"), to: self["runs"])
    }

    deinit {
        try? FileManager.default.removeItem(at: directory)
    }

    private subscript(_ name: String) -> URL { directory.appendingPathComponent(name) }

    private static let steps = #"{"op": "attach-adapter", "path": "{adapter}"}, {"op": "merge-in-4bit"}"#

    private func plan(
        steps: String = BatchTests.steps, report: String = "{}", options: PipelineOptions = .init()
    ) throws -> BatchPlan {
        let text = """
            {"input": "base", "steps": [\(steps)], "output": {"path": "out/{name}"}, "report": \(report),
             "batch": {"adapters": ["runs/*"]}}
            """
        let spec = try BatchSpec(text: text.utf8, file: FilePath(self["batch.json"].path))
        return try BatchPlan(spec: spec, options: options)
    }

    @discardableResult
    private func run(
        steps: String = BatchTests.steps, report: String = "{}", options: PipelineOptions = .init()
    ) throws -> BatchReport {
        BatchExecutor(plan: try plan(steps: steps, report: report, options: options), options: options).run().report
    }

    private func statuses(_ report: BatchReport) -> [BatchReport.Status] { report.adapters.map(\.status) }

    /// The files of the outputs, without records.
    private func outputs() throws -> [String: Data] {
        var files: [String: Data] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: self["out"].path)
        where !name.hasSuffix(".qconv-record.json") {
            files[name] = try? Data(contentsOf: self["out"].appendingPathComponent(name))
        }
        return files
    }

    /// Puts a NaN at the end of an adapter's last factor.
    private func damage(_ adapter: String) throws {
        let weights = self["runs/\(adapter)/adapter_model.safetensors"]
        var bytes = try Data(contentsOf: weights)
        bytes.replaceSubrange(bytes.count - 2..<bytes.count, with: [0xC0, 0x7F])
        try bytes.write(to: weights)
    }

    // MARK: - Again

    @Test func whatIsDoneIsNotDoneAgain() throws {
        let first = try run(report: #"{"json": "out/{name}.json"}"#)
        #expect(statuses(first) == [.converted, .converted, .converted, .converted])
        let files = try outputs()
        let again = try plan(report: #"{"json": "out/{name}.json"}"#)
        #expect(again.passes.isEmpty)
        let second = BatchExecutor(plan: again, options: .init()).run().report
        #expect(statuses(second) == [.unchanged, .unchanged, .unchanged, .unchanged])
        #expect(second.adapters.map(\.outputs) == first.adapters.map(\.outputs))
        #expect(try outputs() == files)
    }

    @Test func anotherTrainingOfTheSameShapeIsConvertedAgain() throws {
        try run()
        // Same size, same header: only the numbers are different.
        try FileManager.default.removeItem(at: self["runs/checkpoint-50"])
        try FileManager.default.copyItem(at: self["runs/checkpoint-100"], to: self["runs/checkpoint-50"])
        #expect(statuses(try run()) == [.converted, .unchanged, .unchanged, .unchanged])
        let files = try outputs()
        #expect(files["checkpoint-50/model.safetensors"] == files["checkpoint-100/model.safetensors"])
    }

    @Test func whatTheConversionDependsOnIsLookedAt() throws {
        let all = [BatchReport.Status](repeating: .converted, count: 4)
        try run()
        #expect(statuses(try run(steps: BatchTests.steps.replacing("4bit\"", with: "4bit\", \"seed\": 1"))) == all)
        // The configuration of one adapter.
        let config = self["runs/checkpoint-100/adapter_config.json"]
        let text = try String(contentsOf: config, encoding: .utf8)
        let changed = text.replacing(#/"lora_alpha": \d+/#, with: "\"lora_alpha\": 3")
        #expect(changed != text)
        try Data(changed.utf8).write(to: config)
        try run(steps: BatchTests.steps)
        try Data(text.utf8).write(to: config)
        #expect(statuses(try run()) == [.unchanged, .converted, .unchanged, .unchanged])
        // The base, and what lies beside its weights.
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSince1970: 1_000_000)],
            ofItemAtPath: self["base/model.safetensors"].path)
        #expect(statuses(try run()) == all)
        try Data("{}".utf8).write(to: self["base/tokenizer_config.json"])
        #expect(statuses(try run()) == all)
        #expect(try outputs()["checkpoint-50/tokenizer_config.json"] == Data("{}".utf8))
    }

    /// PyTorch's files are a base like any other.
    @Test(arguments: ["one-file", "shards"]) func anotherPickledBaseIsLookedAt(_ model: String) throws {
        for (name, source) in [("base", "model/\(model)"), ("runs/a", "adapter/zip")] {
            try FileManager.default.removeItem(at: self[name == "base" ? name : "runs"])
            try FileManager.default.createDirectory(
                at: self[name].deletingLastPathComponent(), withIntermediateDirectories: true)
            try FileManager.default.copyItem(
                at: PickleFixtures.directory.appendingPathComponent(source), to: self[name])
        }
        let steps = #"{"op": "attach-adapter", "path": "{adapter}"}, {"op": "dequantize-merge", "dtype": "f32"}"#
        #expect(statuses(try run(steps: steps)) == [.converted])
        #expect(statuses(try run(steps: steps)) == [.unchanged])
        let names = try FileManager.default.contentsOfDirectory(atPath: self["base"].path)
        for name in names where name.hasSuffix(".bin") {
            try FileManager.default.setAttributes(
                [.modificationDate: Date(timeIntervalSince1970: 1_000_000)], ofItemAtPath: self["base/\(name)"].path)
            #expect(statuses(try run(steps: steps)) == [.converted], "\(name)")
        }
    }

    @Test func anOutputThatIsNotWholeIsMadeAgain() throws {
        try run()
        let files = try outputs()
        try FileManager.default.removeItem(at: self["out/checkpoint-50/tokenizer.json"])
        try FileManager.default.removeItem(at: self["out/checkpoint-100"])
        try (files["checkpoint-150/model.safetensors"] ?? Data()).dropLast(1)
            .write(to: self["out/checkpoint-150/model.safetensors"])
        #expect(statuses(try run()) == [.converted, .converted, .converted, .unchanged])
        #expect(try outputs() == files)
    }

    @Test func whatOthersPutThereIsNotReplaced() throws {
        try FileManager.default.createDirectory(at: self["out"], withIntermediateDirectories: true)
        try FileManager.default.copyItem(at: self["base"], to: self["out/checkpoint-50"])
        let plan = try plan()
        #expect(plan.problems.map(\.adapter.name) == ["checkpoint-50"])
        #expect("\(plan.problems[0].error)".contains("--force"), "\(plan.problems[0].error)")
        var options = PipelineOptions()
        options.force = true
        #expect(statuses(try run(options: options)).allSatisfy { $0 == .converted })
    }

    // MARK: - Passes

    @Test func asManyAtOnceAsTheMemoryHolds() throws {
        try run()
        let files = try outputs()
        try FileManager.default.removeItem(at: self["out"])
        var options = PipelineOptions()
        options.threads = 1
        // The factors of a tensor are small here beside a chunk: look for the budget that is just enough for two passes.
        var (tooLittle, budget) = (1 << 20, 16 << 20)
        while budget - tooLittle > 1024 {
            options.memory = (tooLittle + budget) / 2
            let plan = try self.plan(options: options)
            // Where not even one fits, there is a problem with each.
            if plan.passes.count > 2 || !plan.problems.isEmpty {
                tooLittle = options.memory
            } else {
                budget = options.memory
            }
        }
        options.memory = budget
        let plan = try plan(options: options)
        #expect(plan.passes.flatMap(\.self) == [0, 1, 2, 3])
        let report = BatchExecutor(plan: plan, options: options).run().report
        #expect(report.passes == 2)
        #expect(try outputs() == files)
    }

    // MARK: - What goes wrong

    @Test func oneThatFailsIsDropped() throws {
        try run()
        var files = try outputs()
        try FileManager.default.removeItem(at: self["out"])
        try damage("checkpoint-100")
        let report = try run()
        #expect(statuses(report) == [.converted, .failed, .converted, .converted])
        #expect(report.adapters[1].reason?.contains("NaN") == true, "\(report.adapters[1])")
        files = files.filter { !$0.key.hasPrefix("checkpoint-100") }
        #expect(try outputs() == files)
        let names = try FileManager.default.contentsOfDirectory(atPath: self["out"].path)
        #expect(!names.contains { $0.contains("checkpoint-100") }, "\(names)")
        // Mended, it is the only one that is left to do.
        try FileManager.default.removeItem(at: self["runs/checkpoint-100"])
        try FileManager.default.copyItem(at: self["runs/checkpoint-50"], to: self["runs/checkpoint-100"])
        #expect(statuses(try run()) == [.unchanged, .converted, .unchanged, .unchanged])
    }

    @Test func withoutARecordNothingIsPutInPlace() throws {
        // A directory stands where the record would go.
        try FileManager.default.createDirectory(
            at: self["out/.checkpoint-100.qconv-record.json"], withIntermediateDirectories: true)
        let report = try run()
        #expect(statuses(report) == [.converted, .failed, .converted, .converted])
        #expect(report.adapters[1].reason?.contains("it is a directory") == true, "\(report.adapters[1].reason ?? "")")
        let names = try FileManager.default.contentsOfDirectory(atPath: self["out"].path)
        #expect(!names.contains("checkpoint-100"))
        #expect(!names.contains { $0.hasSuffix(".qconv-partial") })
    }

    @Test func oneThatCannotWorkIsNamed() throws {
        try Data("{".utf8).write(to: self["runs/checkpoint-150/adapter_config.json"])
        try FileManager.default.createDirectory(at: self["runs/empty"], withIntermediateDirectories: true)
        let plan = try plan()
        #expect(plan.problems.map(\.adapter.name) == ["checkpoint-150", "empty"])
        let report = BatchExecutor(plan: plan, options: .init()).run().report
        #expect(statuses(report) == [.converted, .converted, .leftOut, .converted, .leftOut])
    }

    @Test func whenNothingComesOfItNothingIsLeft() throws {
        for name in ["checkpoint-50", "checkpoint-100", "checkpoint-150", "checkpoint-200"] { try damage(name) }
        #expect(statuses(try run()).allSatisfy { $0 == .failed })
        #expect(!FileManager.default.fileExists(atPath: self["out"].path))
    }

    @Test func gatesAreForEach() throws {
        let report = try run(report: #"{"require": ["overall.update_ratio < 2.5%"], "json": "out/{name}.json"}"#)
        #expect(statuses(report) == [.converted, .converted, .gateFailed, .gateFailed])
        #expect(report.hasFailedGates)
        #expect(report.adapters[3].figures?.bytes == nil)
        #expect(try outputs().keys.contains("checkpoint-200.json"))
        #expect(!FileManager.default.fileExists(atPath: self["out/checkpoint-200"].path))
        // A weaker gate converts those that it refused; the others' spec has changed too.
        let again = try run(report: #"{"require": ["overall.update_ratio < 3%"], "json": "out/{name}.json"}"#)
        #expect(statuses(again) == [.converted, .converted, .converted, .gateFailed])
    }

    @Test func twoThatWouldWriteToOnePathAreRefused() throws {
        try FileManager.default.createDirectory(at: self["more"], withIntermediateDirectories: true)
        try FileManager.default.copyItem(at: self["runs/checkpoint-50"], to: self["more/checkpoint-50"])
        let text = """
            {"input": "base", "steps": [\(BatchTests.steps)], "output": {"path": "out/{name}"},
             "batch": {"adapters": ["runs/*", "more/*"]}}
            """
        let spec = try BatchSpec(text: text.utf8, file: FilePath(self["batch.json"].path))
        do {
            _ = try BatchPlan(spec: spec, options: .init())
            Issue.record("accepted")
        } catch {
            #expect(
                "\(error)".contains("more/checkpoint-50 and runs/checkpoint-50 would both be written to"), "\(error)")
            #expect("\(error)".contains("{parent}"))
        }
    }
}
