import Checkpoints
import Foundation
import SystemPackage
import Tensors
import Testing

@Suite struct ModelDirectoryTests {
    private let weights = safetensors(#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, data: [1])

    private func withModel<Result>(_ files: [String: [UInt8]], _ body: (FilePath) throws -> Result) throws -> Result {
        try withTemporaryDirectory { directory throws in
            for (name, bytes) in files {
                let path = directory.appending(FilePath(name).components)
                try FileManager.default.createDirectory(
                    atPath: path.removingLastComponent().string, withIntermediateDirectories: true)
                try write(bytes, to: path)
            }
            return try body(directory)
        }
    }

    @Test func opensDirectoriesFilesAndIndices() throws {
        let sharded = try ModelDirectory(path: Fixtures.path("sharded"))
        #expect(sharded.reader.tensors.count == 21 && sharded.config?.modelType == "llama")
        let indexed = try ModelDirectory(path: Fixtures.path("sharded/model.safetensors.index.json"))
        #expect(indexed.reader.tensors == sharded.reader.tensors)
        let file = try ModelDirectory(path: Fixtures.path("bitsandbytes.safetensors"))
        let sideFiles = try file.sideFiles(config: nil)
        #expect(file.config == nil && sideFiles.isEmpty)
        try withModel(["other.safetensors": weights]) {
            let model = try ModelDirectory(path: $0)
            #expect(model.reader.tensors.map(\.name) == ["a"])
        }
        #expect(throws: FileError.self) { try ModelDirectory(path: "/nowhere") }
    }

    @Test func sideFilesAreThoseTheModelNeeds() throws {
        let wanted = [
            "LICENSE", "additional_chat_templates/rag.jinja", "chat_template.jinja", "config.json",
            "generation_config.json", "merges.txt", "modeling_x.py", "preprocessor_config.json", "sp.model",
            "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.json",
        ]
        let unwanted = [
            "README.md", ".gitattributes", "pytorch_model.bin", "training_args.bin", "other/x.json", "optimizer.pt",
            "model.gguf", "trainer_state.json", ".hidden.py",
        ]
        var files = Dictionary(uniqueKeysWithValues: (wanted + unwanted).map { ($0, [UInt8]()) })
        files["config.json"] = Array(#"{"a": 1}"#.utf8)
        files["model.safetensors"] = weights
        try withModel(files) { directory in
            for path in [directory, directory.appending("model.safetensors")] {
                let model = try ModelDirectory(path: path)
                #expect(try model.sideFiles(config: model.config).map(\.name.string).sorted() == wanted.sorted())
                let withoutConfig = try model.sideFiles(config: nil).map(\.name.string)
                #expect(Set(withoutConfig) == Set(wanted).subtracting(["config.json"]))
            }
        }
    }

    @Test func foreignQuantizationComesFromConfigOrNames() throws {
        let config = Array(#"{"quantization_config": {"quant_method": "awq"}}"#.utf8)
        try withModel(["config.json": config, "model.safetensors": weights]) {
            let model = try ModelDirectory(path: $0)
            #expect(model.foreignQuantization?.method == "awq")
        }
    }

    @Test(arguments: [
        (["other.bin"], "PyTorch files (other.bin)"), (["adapter_model.safetensors"], "a PEFT adapter"),
        (["adapter_config.json", "a.safetensors"], "a PEFT adapter"), (["m.gguf"], "GGUF"),
        (["a.safetensors", "b.safetensors"], "2 safetensors files"), (["x.txt"], "it has x.txt"), ([], "is empty"),
        (["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"], "download it too"),
        (["x.safetensors.index.json"], "not its shards"),
    ])
    func whatIsThereInsteadIsSaid(names: [String], text: String) throws {
        try withModel(Dictionary(uniqueKeysWithValues: names.map { ($0, weights) })) { directory in
            let error = #expect(throws: CheckpointError.self) { try ModelDirectory(path: directory) }
            #expect(error?.description.contains(text) == true, "\(String(describing: error))")
        }
    }
}
