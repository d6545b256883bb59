import Foundation
import LosslessJSON
import Pipeline
import Reports
import SystemPackage
import TestSupport
import Testing

/// How `auto` decides about a tensor by a sample of it.
@Suite struct RoundingChoiceTests {
    private static let shape = (rows: 1024, columns: 64, rank: 4)

    /// Only rows that no sample reaches are updated, as of experts beside others that were never trained. The updates are too short
    /// for nearest rounding.
    @Test func anUpdateThatTheSampleMissesIsKept() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("qconv-\(UUID().uuidString)")
        let adapter = directory.appendingPathComponent("adapter")
        try FileManager.default.createDirectory(at: adapter, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = FilePath(directory.path)
        let (rows, columns, rank) = RoundingChoiceTests.shape
        var generator = SeededGenerator(seed: 3)
        let name = "model.layers.0.mlp.up_proj"
        try writeDense(
            [("\(name).weight", [rows, columns], (0..<rows * columns).map { _ in generator.nextGaussian() * 0.05 })],
            to: path.appending("base.safetensors"))
        // A sample looks at the first 4096 weights, 64 rows, of some granules of 16384.
        let b = (0..<rows * rank).map { (64..<256).contains($0 / rank % 256) ? generator.nextGaussian() * 0.001 : 0 }
        try writeDense(
            [
                ("base_model.model.\(name).lora_A.weight", [rank, columns], (0..<rank * columns).map { _ in 0.5 }),
                ("base_model.model.\(name).lora_B.weight", [rows, rank], b),
            ], to: path.appending("adapter/adapter_model.safetensors"))
        let configuration = #"{"peft_type": "LORA", "r": 4, "lora_alpha": 4, "target_modules": ["up_proj"]}"#
        try Data(configuration.utf8).write(to: adapter.appendingPathComponent("adapter_config.json"))
        let text = """
            {"input": "base.safetensors", "output": {"path": "merged.safetensors"},
             "steps": [{"op": "quantize"}, {"op": "attach-adapter", "path": "adapter"}, {"op": "merge-in-4bit"}]}
            """
        let spec = try PipelineSpec(text: text.utf8, file: path.appending("spec.json"))
        let options = PipelineOptions()
        let report = try PipelineExecutor(plan: PipelinePlan(spec: spec, options: options), options: options).run()
        let kept = report.json["outputs"]?.array?.first?["summary"]?["update_kept"]?["overall"]?.double
        #expect(try #require(kept) > 0.5)
    }
}
