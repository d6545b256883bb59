import Checkpoints
import LosslessJSON
import Tensors
import Testing

@Suite struct QuantizableWeightsTests {
    /// The choice is that of transformers 5.23 for each architecture.
    @Test func chosenAsInTransformers() throws {
        let architectures = try #require(try JSONValue(parsing: contents(Fixtures.path("architectures.json"))).object)
        #expect(architectures.count == 16)
        for (name, architecture) in architectures {
            let text = #"{"model_type": \#(architecture["model_type"]?.serialized() ?? "")}"#
            let rule = QuantizableWeights(config: try ModelConfig(parsing: Array(text.utf8)))
            let shapes = try #require(architecture["tensors"]?.object)
            let tensors = shapes.map { name, shape in
                LogicalTensor(name: name, shape: shape.array?.compactMap(\.int) ?? [], encoding: .dense(.bf16))
            }
            let chosen = tensors.filter(rule.contains).map(\.name).sorted()
            let expected = architecture["quantized"]?.array?.compactMap(\.string) ?? []
            #expect(chosen == expected, "\(name)")
            // What transformers chooses itself needs no list, except where a router or another head stays.
            guard !["llama-reward", "mixtral"].contains(name) else { continue }
            let quantized = tensors.map { tensor in
                var tensor = tensor
                if rule.contains(tensor) {
                    tensor.encoding = .blockQuantized(
                        BlockQuantization(quantType: .nf4, blocksize: 64, dtype: .bf16))
                }
                return tensor
            }
            #expect(rule.skipModules(for: quantized) == nil, "\(name)")
        }
    }

    @Test func conv1DWeightsAreTold() throws {
        func isConv1D(_ model: String, _ name: String) throws -> Bool {
            let config = try ModelConfig(parsing: Array(#"{"model_type": "\#(model)"}"#.utf8))
            let tensor = LogicalTensor(name: name, shape: [16, 48], encoding: .dense(.f32))
            return WeightOrientation(config: config).isConv1D(tensor)
        }
        #expect(try isConv1D("gpt2", "transformer.h.0.attn.c_attn.weight"))
        #expect(try !isConv1D("gpt2", "lm_head.weight"))
        // The same names are Linears elsewhere.
        #expect(try !isConv1D("gpt_bigcode", "transformer.h.0.attn.c_attn.weight"))
    }

    @Test func theOrderOfExpertsIsTold() throws {
        func areTransposed(_ config: String) throws -> Bool? {
            WeightOrientation(config: try ModelConfig(parsing: Array(config.utf8))).expertsAreTransposed
        }
        #expect(try areTransposed(#"{"model_type": "gpt_oss"}"#) == true)
        #expect(try areTransposed(#"{"model_type": "aria", "text_config": {"model_type": "aria_text"}}"#) == true)
        #expect(try areTransposed(#"{"model_type": "mixtral"}"#) == false)
        #expect(try areTransposed(#"{"model_type": "mixtral", "auto_map": {"AutoModel": "m.M"}}"#) == nil)
        #expect(try areTransposed("{}") == nil)
        #expect(WeightOrientation(config: nil).expertsAreTransposed == nil)
    }

    private func rule(skipping modules: String) throws -> QuantizableWeights {
        let text = #"{"quantization_config": {"load_in_4bit": true, "llm_int8_skip_modules": \#(modules)}}"#
        return QuantizableWeights(config: try ModelConfig(parsing: Array(text.utf8)))
    }

    /// `should_convert_module` of transformers.
    @Test(arguments: [
        ("layers.1", "layers.1.attn", true), ("layers.1", "layers.11.attn", false), ("layers.1", "layers.1", true),
        ("layers.*", "layers.11.attn", true), ("mlp.gate", "mlp.gate_proj", false),
        ("fc1", "model.layers.23.fc1", true),
        ("fc1", "model.layers.23.fc11", false), ("layers.1.", "layers.1.attn", true),
        ("attn", "layers.1.attn.q", false),
        ("(.*q_proj|.*k_proj)", "a.k_proj", true), ("[", "a.b", false), ("k_proj|q_proj", "q_proj", true),
    ])
    func skipModulesMatchAsInTransformers(pattern: String, module: String, matches: Bool) throws {
        let tensor = LogicalTensor(name: module + ".weight", shape: [4, 4], encoding: .dense(.f16))
        let list = JSONValue.array([.string(pattern)]).serialized()
        #expect(try rule(skipping: list).contains(tensor) == !matches)
    }

    @Test func aListReplacesTheDefault() throws {
        let head = LogicalTensor(name: "lm_head.weight", shape: [4, 4], encoding: .dense(.f16))
        #expect(try !rule(skipping: "null").contains(head))
        #expect(try rule(skipping: "[]").contains(head))
        #expect(try !rule(skipping: #"["lm_head"]"#).contains(head))
    }

    @Test(arguments: [
        ("a.weight", [4], DType.f16), ("a.weight", [4, 4, 3], .f16), ("a.bias", [4, 4], .f16),
        ("a.weight", [4, 4], .i32), ("a.weight", [4, 4], .u8), ("model.embed_tokens.weight", [4, 4], .f16),
        ("transformer.wte.weight", [4, 4], .f16), ("bert.embeddings.word_embeddings.weight", [4, 4], .f16),
        ("a.block_sparse_moe.gate.weight", [4, 4], .f16), ("a.router.weight", [4, 4], .f16),
        ("a.router.classifier.weight", [4, 4], .f16), ("embed_out.weight", [4, 4], .f16),
        ("score.weight", [4, 4], .f16), ("a.experts.3.w1.weight", [4, 4], .bf16),
    ])
    func notThese(name: String, shape: [Int], dtype: DType) {
        let tensor = LogicalTensor(name: name, shape: shape, encoding: .dense(dtype))
        #expect(!QuantizableWeights(config: nil).contains(tensor))
    }

    @Test(arguments: ["a.gate_proj.weight", "shared_experts.up_proj.weight", "h.0.attn.c_attn.weight", "o.weight"])
    func these(name: String) {
        let tensor = LogicalTensor(name: name, shape: [4, 4], encoding: .dense(.bf16))
        #expect(QuantizableWeights(config: nil).contains(tensor))
    }
}
