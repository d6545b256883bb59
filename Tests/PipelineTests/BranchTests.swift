import Foundation
import Pipeline
import Reports
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Several conversions in one pass over their input, beside each of them alone.
@Suite final class BranchTests {
    private let directory: URL

    init() throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("qconv-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: directory)
    }

    private static let model = PackageFiles.root.appendingPathComponent("examples/tiny-llama")

    private func adapter(_ step: Int) -> String { BranchTests.model.path + "/adapters/checkpoint-\(step)" }

    private func plan(
        _ name: String, adapter: String, steps: String, base: String = "base-nf4", options: PipelineOptions
    ) throws -> PipelinePlan {
        let text = """
            {"input": "\(BranchTests.model.path)/\(base)", "steps": [\(steps)], "output": {"path": "\(name)/last"}}
            """
            .replacing("{adapter}", with: adapter).replacing("{name}", with: name)
        let file = FilePath(directory.appendingPathComponent("spec.json").path)
        return try PipelinePlan(spec: PipelineSpec(text: text.utf8, file: file), options: options)
    }

    /// Runs plans together; their results by index.
    private func run(
        _ plans: [PipelinePlan], options: PipelineOptions
    ) throws -> [Int: Result<ConversionReport, any Error>] {
        let results = Mutex<[Int: Result<ConversionReport, any Error>]>([:])
        try PipelineExecutor(pass: PassPlan(plans, options: options), options: options).runAll { index, result in
            results.withLock { $0[index] = result }
        }
        return results.withLock { $0 }
    }

    /// The files below a directory by path, after which it is gone.
    private func takeFiles(_ name: String) throws -> [String: Data] {
        let url = directory.appendingPathComponent(name)
        var files: [String: Data] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: url.path) {
            files[name] = try? Data(contentsOf: url.appendingPathComponent(name))
        }
        try FileManager.default.removeItem(at: url)
        return files
    }

    @Test(arguments: [
        ("base-nf4", #"{"op": "attach-adapter", "path": "{adapter}"}, {"op": "merge-in-4bit"}"#),
        (
            "base-nf4",
            """
            {"op": "save", "path": "{name}/first.nf4"}, {"op": "attach-adapter", "path": "{adapter}"},
            {"op": "merge-in-4bit", "scales": "fresh"}, {"op": "save", "path": "{name}/merged"},
            {"op": "requantize", "quant_type": "fp4", "blocksize": 4096, "rounding": "stochastic"}
            """
        ),
        (
            "base-bf16",
            """
            {"op": "quantize", "blocksize": 128}, {"op": "attach-adapter", "path": "{adapter}", "weight": 0.5},
            {"op": "merge-in-4bit", "rounding": "nearest"}, {"op": "save", "path": "{name}/small", "format": "nf4"},
            {"op": "dequantize", "dtype": "f16"}
            """
        ),
        (
            "base-bf16",
            #"{"op": "attach-adapter", "path": "{adapter}"}, {"op": "dequantize-merge", "dtype": "f32"}"#
        ),
    ])
    func togetherIsAsAlone(base: String, steps: String) throws {
        var options = PipelineOptions()
        options.threads = 3
        let names = [50, 100, 150, 200]
        func plans() throws -> [PipelinePlan] {
            try names.map {
                try plan("out-\($0)", adapter: adapter($0), steps: steps, base: base, options: options)
            }
        }
        var alone: [(ConversionReport, [String: Data])] = []
        for (plan, name) in zip(try plans(), names) {
            let report = try PipelineExecutor(plan: plan, options: options).run()
            alone.append((report.withoutRun, try takeFiles("out-\(name)")))
        }
        let together = try run(plans(), options: options)
        for (index, name) in names.enumerated() {
            let report = try #require(together[index]).get()
            #expect(report.withoutRun == alone[index].0)
            let files = try takeFiles("out-\(name)")
            #expect(!files.isEmpty)
            #expect(files == alone[index].1)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
    }

    @Test func whatFailsForOneDoesNotConcernTheOthers() throws {
        // The last factor of the last module ends in a NaN.
        let damaged = directory.appendingPathComponent("damaged")
        try FileManager.default.copyItem(at: URL(fileURLWithPath: adapter(100)), to: damaged)
        let weights = damaged.appendingPathComponent("adapter_model.safetensors")
        var bytes = try Data(contentsOf: weights)
        bytes.replaceSubrange(bytes.count - 2..<bytes.count, with: [0xC0, 0x7F])
        try bytes.write(to: weights)

        let steps = #"{"op": "attach-adapter", "path": "{adapter}"}, {"op": "merge-in-4bit"}"#
        let options = PipelineOptions()
        let alone = try plan("b", adapter: adapter(200), steps: steps, options: options)
        let report = try PipelineExecutor(plan: alone, options: options).run().withoutRun
        let files = try takeFiles("b")
        let results = try run(
            [
                plan("a", adapter: damaged.path, steps: steps, options: options),
                plan("b", adapter: adapter(200), steps: steps, options: options),
            ], options: options)
        #expect(throws: (any Error).self) { try results[0]?.get() }
        #expect(try results[1]?.get().withoutRun == report)
        #expect(try takeFiles("b") == files)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["damaged"])
    }

    /// Something that appears at one destination while a plan of two outputs runs leaves the other one empty, too.
    @Test func outputsOfAPlanStandOrFallTogether() throws {
        let options = PipelineOptions()
        let steps = #"{"op": "save", "path": "{name}/first"}, {"op": "dequantize"}"#
        let plan = try plan("a", adapter: adapter(50), steps: steps, options: options)
        let destination = directory.appendingPathComponent("a/last")
        let executor = PipelineExecutor(
            plan: plan, options: options,
            progress: { _ in
                try? FileManager.default.createDirectory(at: destination, withIntermediateDirectories: true)
            })
        #expect(throws: (any Error).self) { try executor.run() }
        #expect(
            try FileManager.default.subpathsOfDirectory(atPath: directory.path).sorted() == ["a", "a/last"])
    }

    @Test func anInterruptionConcernsAll() throws {
        let steps = #"{"op": "attach-adapter", "path": "{adapter}"}, {"op": "merge-in-4bit"}"#
        let options = PipelineOptions()
        let pass = try PassPlan(
            [50, 100].map { try plan("\($0)", adapter: adapter($0), steps: steps, options: options) },
            options: options)
        let asked = Atomic(0)
        let results = Mutex<[Int: Result<ConversionReport, any Error>]>([:])
        PipelineExecutor(
            pass: pass, options: options, isCancelled: { asked.add(1, ordering: .relaxed).oldValue > 20 }
        ).runAll { index, result in
            results.withLock { $0[index] = result }
        }
        for index in 0..<2 {
            #expect(throws: Interrupted.self) { try results.withLock { $0[index] }?.get() }
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
    }
}
