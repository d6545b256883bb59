import Adapters
import SystemPackage
import Tensors
import Testing

/// Paths that hold something else than one adapter.
@Suite struct AdapterDirectoryTests {
    private func message(_ path: FilePath) throws -> String {
        do {
            _ = try LoRAAdapter(testing: path)
            Issue.record("\(path) opened")
            return ""
        } catch {
            return "\(error)"
        }
    }

    @Test func aRunDirectoryNamesItsCheckpoints() throws {
        let directory = try TemporaryDirectory()
        for name in ["checkpoint-1000", "checkpoint-50", "checkpoint-200", "logs"] { try directory.makeDirectory(name) }
        for name in ["checkpoint-1000", "checkpoint-50", "checkpoint-200"] {
            try directory.write("{}", to: "\(name)/adapter_config.json")
        }
        try directory.write("{}", to: "trainer_state.json")
        #expect(
            throws: AdapterError.noConfiguration(
                directory: directory.path, nearby: ["checkpoint-50", "checkpoint-200", "checkpoint-1000"])
        ) { try LoRAAdapter(testing: directory.path) }
        let text = try message(directory.path)
        #expect(text.contains("checkpoint-50, checkpoint-200, checkpoint-1000"))
        #expect(text.hasSuffix("such as \(directory.path)/checkpoint-1000"))
    }

    @Test func anEmptyDirectoryIsExplained() throws {
        let directory = try TemporaryDirectory()
        #expect(try message(directory.path).contains("has no adapter_config.json"))
    }

    @Test func missingWeightsAreExplained() throws {
        let directory = try TemporaryDirectory()
        try directory.write("{}", to: "adapter_config.json")
        #expect(throws: AdapterError.noWeights(directory: directory.path)) { try LoRAAdapter(testing: directory.path) }
        #expect(try message(directory.path).contains("adapter_model.safetensors, adapter_model.bin, adapter_model.pt"))
    }

    @Test func aFileIsNoAdapter() throws {
        let directory = try TemporaryDirectory.adapter()
        let file = directory.path.appending("adapter_model.safetensors")
        #expect(throws: AdapterError.notADirectory(file)) { try LoRAAdapter(testing: file) }
    }

    @Test func aMissingPathIsTheSystemsError() throws {
        let path: FilePath = "/no/such/adapter"
        #expect(throws: FileError(.open, path, .noSuchFileOrDirectory)) { try LoRAAdapter(testing: path) }
    }

    @Test func brokenJSONIsLocated() throws {
        let directory = try TemporaryDirectory.adapter()
        try directory.write("{\n  \"r\": 8,\n}", to: "adapter_config.json")
        let text = try message(directory.path)
        #expect(text.contains("adapter_config.json"))
        #expect(text.contains("line 3"))
    }
}
