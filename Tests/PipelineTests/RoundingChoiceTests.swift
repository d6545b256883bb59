import Foundation
import LosslessJSON
import Pipeline
import Reports
import SystemPackage
import TestSupport
import Testing

/// How `auto` decides about a tensor by a sample of it, and by all of it.
@Suite struct RoundingChoiceTests {
    /// The report of a merge with `auto` into a tensor of 1024 rows.
    ///
    /// - Parameter deviation: Of the update's values in a row.
    private func merge(columns: Int, deviation: (_ row: Int) -> Float) throws -> TensorReport {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("qconv-\(UUID().uuidString)")
        let adapter = directory.appendingPathComponent("adapter")
        try FileManager.default.createDirectory(at: adapter, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = FilePath(directory.path)
        let (rows, rank) = (1024, 4)
        var generator = SeededGenerator(seed: 3)
        let name = "model.layers.0.mlp.up_proj"
        try writeDense(
            [("\(name).weight", [rows, columns], (0..<rows * columns).map { _ in generator.nextGaussian() * 0.05 })],
            to: path.appending("base.safetensors"))
        let b = (0..<rows * rank).map { generator.nextGaussian() * deviation($0 / rank) }
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
        return try #require(report.outputs.first?.tensors.first)
    }

    /// Only rows that no sample reaches are updated, as of experts beside others that were never trained. The updates are too short
    /// for nearest rounding.
    @Test func anUpdateThatTheSampleMissesIsKept() throws {
        // A sample looks at the first 4096 weights, 64 rows, of some granules of 16384.
        let tensor = try merge(columns: 64) { (64..<256).contains($0 % 256) ? 0.001 : 0 }
        #expect(try #require(tensor.figures.updateKept) > 0.5)
    }

    /// Rows that the sample looks at (16 of 256) have updates long enough for nearest rounding, and the others have not.
    @Test func aSampleDoesNotDecideForNearestAlone() throws {
        let tensor = try merge(columns: 256) { $0 % 256 < 16 ? 0.02 : 0.004 }
        #expect(tensor.rounding == .stochastic)
        #expect(abs(try #require(tensor.figures.updateKept) - 1) < 0.05)
    }

    @Test func longUpdatesAreRoundedToNearest() throws {
        let tensor = try merge(columns: 256) { _ in 0.05 }
        #expect(tensor.rounding == .nearest)
        #expect(try #require(tensor.figures.updateKept) >= 0.9)
    }
}
