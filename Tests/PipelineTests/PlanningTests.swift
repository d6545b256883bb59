import Foundation
import Pipeline
import SystemPackage
import TestSupport
import Testing

@Suite struct PlanningTests {
    /// The adapter is read while the input is opened, and for that plan alone: a spec that is planned again sees what the files
    /// are by then.
    @Test func anAdapterIsReadForEveryPlan() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("qconv-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let model = PackageFiles.root.appendingPathComponent("examples/tiny-llama")
        let adapter = directory.appendingPathComponent("adapter")
        let text = """
            {"input": "\(model.path)/base-nf4", "output": {"path": "merged"},
             "steps": [{"op": "attach-adapter", "path": "adapter"}, {"op": "merge-in-4bit"}]}
            """
        let spec = try PipelineSpec(text: text.utf8, file: FilePath(directory.path).appending("spec.json"))
        #expect(throws: (any Error).self) { try PipelinePlan(spec: spec, options: PipelineOptions()) }
        let stored = model.appendingPathComponent("adapters/checkpoint-200")
        try FileManager.default.copyItem(at: stored, to: adapter)
        _ = try PipelinePlan(spec: spec, options: PipelineOptions())
        try FileManager.default.removeItem(at: adapter)
        #expect(throws: (any Error).self) { try PipelinePlan(spec: spec, options: PipelineOptions()) }
    }
}
