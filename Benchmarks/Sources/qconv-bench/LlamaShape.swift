import Tensors

/// The tensors of a Llama model, by its dimensions.
struct LlamaShape {
    let hidden: Int
    let intermediate: Int
    /// Rows of k_proj and v_proj.
    let keyValue: Int
    let headSize = 64
    let layers: Int
    let vocabulary: Int

    /// About so many weights. Up to half a billion: the proportions of SmolLM-135M. Above: those of a 1-billion-weight
    /// Llama with a vocabulary so large that one tensor, the tied embedding, has half of all weights.
    init(weights: Int) {
        let isSmall = weights < 500_000_000
        hidden = isSmall ? 576 : 2048
        intermediate = isSmall ? 1536 : 8192
        keyValue = isSmall ? 192 : 512
        vocabulary = isSmall ? 49_152 : weights / 2 / hidden
        let layer = 2 * hidden * hidden + 2 * hidden * keyValue + 3 * hidden * intermediate
        layers = max(1, (weights - vocabulary * hidden + layer / 2) / layer)
    }

    /// At least so many tensors, all of them small.
    init(tensors: Int) {
        hidden = 64
        intermediate = 128
        keyValue = 64
        vocabulary = 256
        layers = (tensors + 8) / 9
    }

    /// The shapes of a layer's linear weights by name.
    private var linears: [(name: String, shape: [Int])] {
        [
            ("mlp.down_proj", [hidden, intermediate]), ("mlp.gate_proj", [intermediate, hidden]),
            ("mlp.up_proj", [intermediate, hidden]), ("self_attn.k_proj", [keyValue, hidden]),
            ("self_attn.o_proj", [hidden, hidden]), ("self_attn.q_proj", [hidden, hidden]),
            ("self_attn.v_proj", [keyValue, hidden]),
        ]
    }

    /// The names that LoRA calls target modules.
    var targetModules: [String] { linears.map { String($0.name.split(separator: ".")[1]) } }

    /// The model in bfloat16.
    var modelTensors: [LogicalTensor] {
        var tensors = [dense("model.embed_tokens.weight", [vocabulary, hidden], .bf16)]
        for layer in 0..<layers {
            let prefix = "model.layers.\(layer)."
            tensors.append(dense(prefix + "input_layernorm.weight", [hidden], .bf16))
            tensors.append(dense(prefix + "post_attention_layernorm.weight", [hidden], .bf16))
            tensors += linears.map { dense(prefix + $0.name + ".weight", $0.shape, .bf16) }
        }
        return tensors + [dense("model.norm.weight", [hidden], .bf16)]
    }

    /// A LoRA adapter for every linear weight, in float32 as PEFT saves it.
    func adapterTensors(rank: Int) -> [LogicalTensor] {
        (0..<layers).flatMap { layer in
            linears.flatMap { linear in
                let prefix = "base_model.model.model.layers.\(layer).\(linear.name)"
                return [
                    dense(prefix + ".lora_A.weight", [rank, linear.shape[1]], .f32),
                    dense(prefix + ".lora_B.weight", [linear.shape[0], rank], .f32),
                ]
            }
        }
    }

    private func dense(_ name: String, _ shape: [Int], _ dtype: DType) -> LogicalTensor {
        LogicalTensor(name: name, shape: shape, encoding: .dense(dtype))
    }

    /// `config.json` of the model.
    var configuration: String {
        """
        {
          "architectures": ["LlamaForCausalLM"],
          "attention_bias": false,
          "bos_token_id": 0,
          "dtype": "bfloat16",
          "eos_token_id": 0,
          "head_dim": \(headSize),
          "hidden_act": "silu",
          "hidden_size": \(hidden),
          "initializer_range": 0.02,
          "intermediate_size": \(intermediate),
          "max_position_embeddings": 2048,
          "mlp_bias": false,
          "model_type": "llama",
          "num_attention_heads": \(hidden / headSize),
          "num_hidden_layers": \(layers),
          "num_key_value_heads": \(keyValue / headSize),
          "rms_norm_eps": 1e-05,
          "rope_theta": 10000.0,
          "tie_word_embeddings": true,
          "vocab_size": \(vocabulary)
        }
        """
    }

    /// `adapter_config.json`.
    func adapterConfiguration(rank: Int) -> String {
        """
        {
          "base_model_name_or_path": "base",
          "bias": "none",
          "fan_in_fan_out": false,
          "inference_mode": true,
          "lora_alpha": \(2 * rank),
          "lora_dropout": 0.0,
          "modules_to_save": null,
          "peft_type": "LORA",
          "r": \(rank),
          "target_modules": \(targetModules),
          "task_type": "CAUSAL_LM",
          "use_rslora": false
        }
        """
    }
}
