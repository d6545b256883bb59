import Foundation
import Pipeline
import Reports
import SystemPackage
import Tensors
import TestSupport
import Testing

/// Error figures that nobody wants are not made, and nothing else changes.
@Suite final class FiguresTests {
    private static let shape = (rows: 96, columns: 640, rank: 4)

    private let directory = FileManager.default.temporaryDirectory
        .appendingPathComponent("qconv-figures-\(UUID().uuidString)")

    init() throws {
        try FileManager.default.createDirectory(
            at: directory.appendingPathComponent("adapter"), withIntermediateDirectories: true)
        var generator = SeededGenerator(seed: 8)
        let (rows, columns, rank) = Self.shape
        try writeBase { _ in generator.nextGaussian() * 0.05 }
        let name = "base_model.model.model.layers.0.mlp.up_proj"
        try writeDense(
            [
                ("\(name).lora_A.weight", [rank, columns], (0..<rank * columns).map { _ in generator.nextGaussian() }),
                (
                    "\(name).lora_B.weight", [rows, rank],
                    (0..<rows * rank).map { _ in generator.nextGaussian() * 0.001 }
                ),
            ], to: path("adapter/adapter_model.safetensors"))
        let configuration = #"{"peft_type": "LORA", "r": 4, "lora_alpha": 4, "target_modules": ["up_proj"]}"#
        try Data(configuration.utf8).write(to: directory.appendingPathComponent("adapter/adapter_config.json"))
    }

    deinit { try? FileManager.default.removeItem(at: directory) }

    private static let merges = [
        #"{"op": "merge-in-4bit"}"#, #"{"op": "merge-in-4bit", "rounding": "nearest"}"#,
        #"{"op": "merge-in-4bit", "rounding": "nearest", "scales": "fresh"}"#,
        #"{"op": "merge-in-4bit"}, {"op": "requantize", "blocksize": 128, "double_quant": false}"#,
        #"{"op": "dequantize-merge"}"#,
    ]

    @Test(arguments: merges)
    func bytesAreTheSame(merge: String) throws {
        let steps = #"{"op": "quantize"}, {"op": "attach-adapter", "path": "adapter"}, \#(merge)"#
        _ = try convert(steps, wantsFigures: true)
        let expected = try output
        _ = try convert(steps, wantsFigures: false)
        #expect(try output == expected)
    }

    /// A NaN or an infinity in the base is refused in the same words.
    @Test(arguments: merges, [Float.nan, .infinity])
    func badValuesAreRefused(merge: String, value: Float) throws {
        try writeBase { $0 == 12_345 ? value : 0.01 }
        let steps = #"{"op": "quantize"}, {"op": "attach-adapter", "path": "adapter"}, \#(merge)"#
        let errors = [true, false].map { wantsFigures in
            #expect(throws: ConversionError.self) { try self.convert(steps, wantsFigures: wantsFigures) }
        }
        #expect(errors[0] != nil && errors[0] == errors[1])
        // They are true, and name a way out that the operation has.
        let message = errors[0]?.description ?? ""
        #expect(
            message.contains("a NaN or an infinity among elements") || message.contains("would become NaN or infinite"))
        #expect(message.contains("give the adapter a smaller \"weight\"") && !message.contains("exclude"), "\(message)")
    }

    @Test func badValuesWithoutAnAdapterCanBeLeftOut() throws {
        try writeBase { $0 == 12_345 ? .nan : 0.01 }
        let error = #expect(throws: ConversionError.self) {
            try self.convert(#"{"op": "quantize"}"#, wantsFigures: true)
        }
        let message = error?.description ?? ""
        #expect(message.contains("a NaN or an infinity among elements"), "\(message)")
        #expect(message.contains("leave the tensor as it is with \"exclude\"") && !message.contains("smaller"))
    }

    /// What a gate or a report of the spec looks at is made whatever the options say.
    @Test func aSpecGetsWhatItLooksAt() throws {
        let steps = #"{"op": "quantize"}"#
        let wanted = try convert(steps, wantsFigures: true)
        let gated = try convert(steps, #", "report": {"require": ["relative_error <= 0.5"]}"#, wantsFigures: false)
        let reported = try convert(steps, #", "report": {"json": "report.json"}"#, wantsFigures: false)
        #expect(wanted.json["outputs"] == gated.json["outputs"])
        #expect(wanted.json["outputs"] == reported.json["outputs"])
        #expect(try convert(steps, wantsFigures: false).json["outputs"] != wanted.json["outputs"])
    }

    // MARK: Help

    private func convert(_ steps: String, _ more: String = "", wantsFigures: Bool) throws -> ConversionReport {
        let text = """
            {"input": "base.safetensors", "output": {"path": "out.safetensors"}, "steps": [\(steps)]\(more)}
            """
        let spec = try PipelineSpec(text: text.utf8, file: path("spec.json"))
        var options = PipelineOptions()
        options.force = true
        return try PipelineExecutor(
            plan: PipelinePlan(spec: spec, options: options), options: options, wantsFigures: wantsFigures
        ).run()
    }

    private var output: Data {
        get throws { try Data(contentsOf: directory.appendingPathComponent("out.safetensors")) }
    }

    private func path(_ name: String) -> FilePath { FilePath(directory.path).appending(name) }

    private func writeBase(_ value: (Int) -> Float) throws {
        let (rows, columns, _) = Self.shape
        let base = directory.appendingPathComponent("base.safetensors")
        try? FileManager.default.removeItem(at: base)
        try writeDense(
            [("model.layers.0.mlp.up_proj.weight", [rows, columns], (0..<rows * columns).map(value))],
            to: path("base.safetensors"))
    }
}
