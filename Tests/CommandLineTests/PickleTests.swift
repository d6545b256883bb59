import Foundation
import LosslessJSON
import TestSupport
import Testing

/// Models and adapters in PyTorch's files.
@Suite struct PickleTests {
    private func path(_ name: String) -> String { PickleFixtures.directory.appendingPathComponent(name).path }

    private func merged(_ model: String, _ adapter: String, _ workspace: Workspace) throws -> Data {
        let spec = try workspace.spec(
            input: path("model/\(model)"),
            steps: """
                {"op": "attach-adapter", "path": "\(path("adapter/\(adapter)"))"}, {"op": "dequantize-merge", "dtype": "f32"}
                """, output: #"{"path": "out.safetensors"}"#)
        let run = try QConvRun(["pipeline", spec, "--quiet", "--force"])
        try #require(run.status == 0, "\(run.errors)")
        let stored = try StoredTensors(workspace["out.safetensors"])
        #expect(stored.tensors.count == 4)
        return try Data(contentsOf: workspace["out.safetensors"])
    }

    @Test func everyFormMergesAlike() throws {
        let workspace = try Workspace()
        let expected = try merged("safetensors", "safetensors", workspace)
        for model in ["safetensors", "one-file", "shards"] {
            for adapter in ["safetensors", "zip", "legacy"] {
                #expect(try merged(model, adapter, workspace) == expected, "\(model) \(adapter)")
            }
        }
    }

    @Test func inspectAndDiffReadThem() throws {
        let inspection = try QConvRun(["inspect", path("adapter/legacy"), "--json"])
        #expect(inspection.status == 0, "\(inspection.errors)")
        #expect(inspection.output.contains("lora_A"))
        let same = try QConvRun(["diff", path("adapter/zip"), path("adapter/safetensors"), "--json"])
        #expect(same.status == 0, "\(same.errors)")
    }

    #if os(Linux)
    /// No file of the corpus makes the program use much memory, crash, or end in anything but an error about the file.
    @Test func theCorpusIsRefusedInBoundedMemory() throws {
        let workspace = try Workspace()
        #expect(PickleFixtures.corpus.count == 286)
        for hostile in PickleFixtures.corpus {
            try hostile.bytes.write(to: workspace["hostile.bin"])
            let run = try QConvRun(["inspect", workspace.path("hostile.bin")], limits: "ulimit -v 700000")
            #expect(run.status == 2 && !run.wasSignalled, "\(hostile.name): \(run.status) \(run.errors)")
            #expect(run.output.isEmpty)
            #expect(hostile.needles.allSatisfy { run.errors.contains($0) }, "\(hostile.name): \(run.errors)")
        }
    }
    #endif
}
