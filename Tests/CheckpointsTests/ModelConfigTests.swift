import Checkpoints
import LosslessJSON
import SystemPackage
import Tensors
import Testing

@Suite struct ModelConfigTests {
    private func config(_ name: String) throws -> ModelConfig {
        try ModelConfig(path: Fixtures.path("configs/\(name).json"))
    }

    private func config(text: String) throws -> ModelConfig { try ModelConfig(parsing: Array(text.utf8)) }

    @Test(arguments: ["llama-nf4", "llama-bf16"])
    func untouchedConfigsKeepTheirBytes(name: String) throws {
        #expect(try config(name).bytes == contents(Fixtures.path("configs/\(name).json")))
    }

    /// The bf16 model's config becomes the one that transformers wrote for the 4-bit model.
    @Test func addingQuantizationMatchesTransformers() throws {
        let changed = try config("llama-bf16").settingQuantization(
            .nf4, doubleQuantization: true, skipModules: nil)
        var expected = try config("llama-nf4").json
        expected["transformers_version"] = changed.json["transformers_version"]
        #expect(changed.json.serialized(.pythonIndented) == expected.serialized(.pythonIndented))
    }

    @Test func removingQuantizationMatchesTransformers() throws {
        let changed = try config("llama-nf4").removingQuantization()
        var expected = try config("llama-bf16").json
        expected["transformers_version"] = changed.json["transformers_version"]
        #expect(changed.json.serialized(.pythonIndented) == expected.serialized(.pythonIndented))
    }

    @Test func otherFieldsOfAQuantizationStay() throws {
        let changed = try config(
            text:
                #"{"b": 1, "quantization_config": {"load_in_4bit": true, "llm_int8_threshold": 5.50, "x": [1e-06]}, "a": 2}"#
        ).settingQuantization(
            .fp4, doubleQuantization: false, storage: .bf16, computeDType: .f16, skipModules: ["lm_head"])
        #expect(
            changed.json.serialized(.pythonOneLine)
                == #"{"b": 1, "quantization_config": {"load_in_4bit": true, "llm_int8_threshold": 5.50, "x": [1e-06], "load_in_8bit": false, "quant_method": "bitsandbytes", "bnb_4bit_quant_type": "fp4", "bnb_4bit_use_double_quant": false, "bnb_4bit_quant_storage": "bfloat16", "bnb_4bit_compute_dtype": "float16", "llm_int8_skip_modules": ["lm_head"]}, "a": 2}"#
        )
    }

    @Test func dtypesAreChangedWhereTheyStand() throws {
        let old = try config(
            text: #"{"torch_dtype": "float32", "text_config": {"torch_dtype": "float32", "n": 1}, "n": 2}"#)
        #expect(old.dtype == .f32)
        #expect(
            old.settingDType(.bf16).json.serialized(.pythonOneLine)
                == #"{"torch_dtype": "bfloat16", "text_config": {"torch_dtype": "bfloat16", "n": 1}, "n": 2}"#)
        let nested = try config(text: #"{"text_config": {"dtype": "float16"}}"#)
        #expect(nested.dtype == .f16)
        #expect(nested.settingDType(.f32).json.serialized() == #"{"text_config":{"dtype":"float32"}}"#)
        let none = try config(text: #"{"a": 1, "z": 2}"#)
        #expect(none.dtype == nil)
        #expect(none.settingDType(.f16).json.serialized() == #"{"a":1,"dtype":"float16","z":2}"#)
        #expect(
            try config(text: #"{"z": 1, "a": 2}"#).settingDType(.f16).json.serialized()
                == #"{"z":1,"a":2,"dtype":"float16"}"#)
    }

    @Test func textThatPythonWritesSurvives() throws {
        let escaped = "{\n  \"name\": \"\\u00e9\",\n  \"limit\": [\n    0.0,\n    Infinity\n  ]\n}\n"
        #expect(String(decoding: try config(text: escaped).bytes, as: UTF8.self) == escaped)
        let raw = "{\n  \"name\": \"é\"\n}"
        #expect(String(decoding: try config(text: raw).bytes, as: UTF8.self) == raw)
    }

    @Test func foreignMethodsAreNamed() throws {
        func method(_ quantization: String) throws -> String? {
            try config(text: #"{"quantization_config": \#(quantization)}"#).foreignQuantization?.method
        }
        #expect(try method(#"{"quant_method": "gptq", "bits": 4}"#) == "gptq")
        #expect(try method(#"{"quant_method": "bitsandbytes", "load_in_8bit": true}"#) == "bitsandbytes LLM.int8")
        #expect(try method(#"{"load_in_8bit": true}"#) == "bitsandbytes LLM.int8")
        #expect(try method(#"{"bits": 3}"#) == "an unnamed method")
        #expect(try method(#"{"load_in_4bit": true, "load_in_8bit": false}"#) == nil)
        #expect(try method("null") == nil)
        #expect(try config("llama-nf4").foreignQuantization == nil)
        #expect(try config("llama-bf16").foreignQuantization == nil)
    }

    @Test(arguments: ["[]", "", "{", "1", #"{"a": 1, "a": 2}"#])
    func whatIsNoConfigIsRefused(text: String) {
        #expect(throws: CheckpointError.self) { try config(text: text) }
    }

    // MARK: Describing tensors

    private func linear(_ name: String, quantized: Bool, _ dtype: DType = .bf16) -> LogicalTensor {
        let encoding: Encoding =
            quantized
            ? .blockQuantized(
                BlockQuantization(
                    quantType: .nf4, blocksize: 64, dtype: dtype, doubleQuantization: DoubleQuantization()))
            : .dense(dtype)
        return LogicalTensor(name: name, shape: [64, 64], encoding: encoding)
    }

    @Test func describingDenseTensors() throws {
        let described = try config("llama-nf4").describing([linear("a.weight", quantized: false, .f16)])
        #expect(described.quantizationConfig == nil)
        #expect(described.dtype == .f16)
    }

    @Test func describingQuantizedTensors() throws {
        let tensors = [
            linear("model.embed_tokens.weight", quantized: false),
            linear("model.layers.0.q_proj.weight", quantized: true),
            linear("lm_head.weight", quantized: false),
        ]
        let described = try config("llama-bf16").describing(tensors)
        #expect(described.quantizationConfig?["llm_int8_skip_modules"] == .null)
        #expect(described.quantizationConfig?["bnb_4bit_use_double_quant"] == true)
        #expect(described.quantizationConfig?["bnb_4bit_compute_dtype"] == "bfloat16")
        // One that transformers would have quantized stays dense.
        let mixed = try config("llama-bf16").describing(
            tensors + [linear("model.layers.1.q_proj.weight", quantized: false)])
        #expect(mixed.skipModules == ["lm_head", "model.layers.1.q_proj"])
        // The head is tied, and 4-bit weights only.
        let tied = try config("llama-bf16").describing([
            tensors[0], tensors[1], linear("score.weight", quantized: false),
        ])
        #expect(tied.skipModules == ["score", "lm_head"])
        let kept = try config("llama-nf4").describing(mixedTensors, original: mixedTensors)
        #expect(kept.quantizationConfig?["llm_int8_skip_modules"] == .null)
        // A list that says the same stays.
        #expect(mixed.describing(tensors + [linear("model.layers.1.q_proj.weight", quantized: false)]) == mixed)
    }

    private var mixedTensors: [LogicalTensor] {
        [linear("a.q_proj.weight", quantized: true), linear("a.k_proj.weight", quantized: false)]
    }

    @Test func layersAreCounted() throws {
        func replicated(_ text: String) throws -> JSONValue {
            try ModelConfig(parsing: Array(text.utf8)).replicatingLayers([0, 1, 1, 0]).json
        }
        #expect(
            try replicated(#"{"num_hidden_layers": 2, "layer_types": ["full", "sliding"], "z": 1}"#)
                == ["num_hidden_layers": 4, "layer_types": ["full", "sliding", "sliding", "full"], "z": 1])
        // Of another length it is no list of layers.
        #expect(
            try replicated(#"{"num_hidden_layers": 2, "layer_types": ["full"]}"#)
                == ["num_hidden_layers": 4, "layer_types": ["full"]])
        #expect(
            try replicated(#"{"text_config": {"num_hidden_layers": 2}, "vision_config": {"num_hidden_layers": 2}}"#)
                == ["text_config": ["num_hidden_layers": 4], "vision_config": ["num_hidden_layers": 2]])
        #expect(try replicated(#"{"n_layers": 2}"#) == ["n_layers": 2])
    }

    @Test func expertsAreOneEntryALayer() throws {
        let tensors = [
            linear("model.layers.0.q_proj.weight", quantized: true),
            linear("model.layers.0.mlp.gate.weight", quantized: false),
            linear("model.layers.0.mlp.experts.0.up_proj.weight", quantized: false),
            linear("model.layers.0.mlp.experts.1.up_proj.weight", quantized: false),
            linear("lm_head.weight", quantized: false),
        ]
        #expect(
            try config("llama-bf16").describing(tensors).skipModules
                == ["model.layers.0.mlp.gate", "model.layers.0.mlp.experts", "lm_head"])
    }
}
