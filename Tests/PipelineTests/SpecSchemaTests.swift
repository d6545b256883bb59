import Foundation
import LosslessJSON
import Pipeline
import SystemPackage
import TestSupport
import Testing

/// The published schema of specs, and the specs in examples/.
@Suite struct SpecSchemaTests {
    private func schema() throws -> JSONSchema {
        try JSONSchema(PackageFiles.json("formats/pipeline.schema.json"))
    }

    @Test func publishedSchemaIsWhatTheCheckerDeclares() throws {
        let published = try String(
            contentsOf: PackageFiles.root.appendingPathComponent("formats/pipeline.schema.json"), encoding: .utf8)
        #expect(published == SpecSchema.text, "run `make schema`")
    }

    @Test func examplesAreAccepted() throws {
        let examples = try FileManager.default.contentsOfDirectory(
            at: PackageFiles.root.appendingPathComponent("examples"), includingPropertiesForKeys: nil
        ).filter { $0.pathExtension == "json" }
        #expect(examples.count >= 4)
        for example in examples {
            let document = try JSONValue(parsing: Data(contentsOf: example))
            #expect(try schema().violations(in: document).isEmpty, "\(example.lastPathComponent)")
            guard document["batch"] != nil else {
                _ = try PipelineSpec(file: FilePath(example.path))
                continue
            }
            let batch = try BatchSpec(file: FilePath(example.path))
            for adapter in batch.adapters { _ = try batch.spec(for: adapter) }
        }
    }

    /// The checker and the schema agree on what is wrong.
    @Test(arguments: [
        #"{"steps": [], "output": {"path": "o"}}"#,
        #"{"input": "b", "steps": {}, "output": {"path": "o"}}"#,
        #"{"input": "b", "steps": [{"op": "quantize", "blocksize": 65}], "output": {"path": "o"}}"#,
        #"{"input": "b", "steps": [{"op": "quantize", "bits": 4}], "output": {"path": "o"}}"#,
        #"{"input": "b", "steps": [{"op": "cast"}], "output": {"path": "o"}}"#,
        #"{"input": "b", "steps": [{"op": "attach-adapter"}], "output": {"path": "o"}}"#,
        #"{"input": "b", "steps": [{"op": "levitate"}], "output": {"path": "o"}}"#,
        #"{"input": "b", "steps": [], "output": {"path": "o", "format": "gguf"}}"#,
        #"{"input": "", "steps": [], "output": {"path": "o"}}"#,
    ])
    func schemaRefusesWhatTheCheckerRefuses(text: String) throws {
        #expect(throws: SpecError.self) { try PipelineSpec(text: text.utf8, file: "spec.json") }
        #expect(try !schema().violations(in: JSONValue(parsing: text)).isEmpty)
    }
}
