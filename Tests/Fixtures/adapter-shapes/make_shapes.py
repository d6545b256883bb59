#!/usr/bin/env python3
"""Makes adapters whose modules are no plain matrices, small bases for them, and what PEFT merges them to.

    python make_shapes.py        # torch, transformers, peft, bitsandbytes, safetensors

`manifest.json` lists the cases: base, adapter, step, and the expected tensors; `untouched` are the tensors that a merge
must leave as they are. Bases are directories as `save_pretrained` writes them, adapters likewise, and expected tensors
are those of PEFT's `merge_and_unload`, under the names and in the shapes that `save_pretrained` gives them.

Some results PEFT 0.21.2 cannot give, so that they are made from its own parts:

- A Conv3d whose kernel starts with 1 × 1: `get_delta_weight` takes it for a Conv2d and fails. Expected is what the forward
  pass computes, lora_B @ lora_A over the flattened kernels.
- Experts in 4 bits. bitsandbytes quantizes a module's parameters (`replace_parameter_4bit`), and 4-bit checkpoints from
  before transformers fused experts have a 4-bit matrix for each; PEFT finds no parameter to adapt in the first, and
  nothing loads the second. Expected is what PEFT does to 4-bit linear layers, with its `get_delta_weight`.
- `layer_replication`: the copies of a layer share their weights, and `merge_and_unload` adds the updates of all copies to
  the one weight. Expected is a model whose layers are really copied, with the same factors.

Shapes are chosen so that rows are whole blocks where bitsandbytes quantizes: see make_merges.py.
"""

import copy
import json
import shutil
import warnings
from pathlib import Path

import torch
from bitsandbytes import functional as F
from bitsandbytes.nn.parametrize import replace_parameter_4bit
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora.layer import Conv3d
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GptOssConfig,
    GptOssForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
HERE = Path(__file__).parent
DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}
cases = []


def randomize(model, seed, wanted, scale):
    generator = torch.Generator().manual_seed(seed)
    for key, parameter in model.named_parameters():
        if wanted(key):
            parameter.data = (torch.randn(parameter.shape, generator=generator) * scale).to(parameter.dtype)
    return model


def sorted_config(folder):
    """save_pretrained writes sets in the order of their hashes, which changes from run to run."""
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    for key in ["target_modules", "exclude_modules"]:
        if isinstance(config[key], list):
            config[key].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def save_adapter(name, model, config, seed, dtype=torch.float32):
    """Adapts a copy of the model, fills the factors and saves them."""
    folder = HERE / "adapters" / name
    adapted = get_peft_model(copy.deepcopy(model), config)
    randomize(adapted, seed, lambda key: "lora_A" in key or "lora_B" in key, 0.1)
    for key, parameter in adapted.named_parameters():
        if "lora_" in key:
            parameter.data = parameter.data.to(dtype)
    # Without the whole lm_head, which PEFT saves beside factors for it.
    adapted.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    sorted_config(folder)
    return folder


def add(name, base, adapter, step, expected):
    """Notes a case, with the tensors of `expected` that differ from the base's."""
    old = load_file(HERE / "bases" / base / "model.safetensors")
    changed = {
        key: value
        for key, value in expected.items()
        if key not in old or old[key].shape != value.shape or old[key].dtype != value.dtype or not torch.equal(old[key], value)
    }
    assert changed
    path = f"expected/{name}.safetensors"
    save_file({key: value.contiguous().clone() for key, value in changed.items()}, HERE / path)
    untouched = sorted(key for key in expected if key not in changed)
    cases.append(
        {
            "name": name,
            "base": f"bases/{base}",
            "adapter": f"adapters/{adapter}",
            "step": step,
            "expected": path,
            "untouched": untouched,
        }
    )


def saved(model):
    """A model's tensors as save_pretrained writes them."""
    folder = HERE / "scratch"
    model.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    shutil.rmtree(folder)
    return tensors


# MARK: Convolutions


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = nn.Module()
        self.block.line = nn.Conv1d(6, 10, 3)
        self.block.point1d = nn.Conv1d(6, 10, 1, bias=False)
        self.block.plane = nn.Conv2d(6, 9, (3, 2))
        self.block.point2d = nn.Conv2d(8, 9, 1)
        self.block.column = nn.Conv2d(5, 7, (1, 3))
        self.block.solid = nn.Conv3d(4, 7, (2, 3, 2))
        self.block.point3d = nn.Conv3d(8, 7, 1, bias=False)
        self.block.linear = nn.Linear(12, 8)
        self.block.still = nn.Conv2d(3, 4, 3)


CONVOLUTIONS = ["line", "point1d", "plane", "point2d", "column", "solid", "point3d", "linear"]


def flattened_update(self, adapter):
    a, b = self.lora_A[adapter].weight.float(), self.lora_B[adapter].weight.float()
    return (b.flatten(1) @ a.flatten(1)).reshape(b.shape[0], *a.shape[1:]) * self.scaling[adapter]


def convolutions():
    torch.manual_seed(1)
    model = Convolutions()
    config = LoraConfig(
        r=4, lora_alpha=6, target_modules=CONVOLUTIONS, rank_pattern={"plane": 3, "block.point2d": 5}, alpha_pattern={"line": 9}
    )
    save_adapter("convolutions", model, config, 2)
    save_adapter("convolutions-f16", model, config, 2, torch.float16)
    dora = LoraConfig(r=3, lora_alpha=4, use_dora=True, target_modules=["line", "plane", "point2d", "linear"])
    save_adapter("convolutions-dora", model, dora, 12)
    for label, dtype in DTYPES.items():
        base = HERE / "bases" / f"convolutions-{label}"
        base.mkdir(parents=True)
        dense = copy.deepcopy(model).to(dtype)
        save_file(dense.state_dict(), base / "model.safetensors", {"format": "pt"})
        (base / "config.json").write_text(json.dumps({"model_type": "fixture", "dtype": str(dtype)[6:]}, indent=2) + "\n")
        adapter = "convolutions-f16" if label == "f16" else "convolutions"
        loaded = PeftModel.from_pretrained(dense, HERE / "adapters" / adapter)
        theirs = Conv3d.get_delta_weight
        Conv3d.get_delta_weight = lambda self, adapter: (
            flattened_update if self.get_base_layer().weight.shape[2:4] == (1, 1) else theirs
        )(self, adapter)
        merged = loaded.merge_and_unload()
        Conv3d.get_delta_weight = theirs
        add(f"convolutions-{label}", base.name, adapter, {"op": "dequantize-merge"}, merged.state_dict())
    dense = copy.deepcopy(model)
    merged = PeftModel.from_pretrained(dense, HERE / "adapters/convolutions-dora").merge_and_unload()
    add("convolutions-dora", "convolutions-f32", "convolutions-dora", {"op": "dequantize-merge"}, merged.state_dict())
    grouped = Convolutions()
    grouped.block.groups = nn.Conv2d(6, 8, 3, groups=2)
    save_adapter("groups", grouped, LoraConfig(r=4, lora_alpha=6, target_modules=["groups"]), 3)
    base = HERE / "bases" / "groups"
    base.mkdir()
    save_file({"block.groups.weight": grouped.block.groups.weight.data}, base / "model.safetensors", {"format": "pt"})


# MARK: GPT-2


def merge_dense(base, adapter, step, name=None):
    model = AutoModelForCausalLM.from_pretrained(HERE / "bases" / base, dtype="auto")
    merged = PeftModel.from_pretrained(model, HERE / "adapters" / adapter).merge_and_unload()
    add(name or f"{base}+{adapter}", base, adapter, step, saved(merged))


def merge_in_4bit(base, adapter, name=None):
    model = AutoModelForCausalLM.from_pretrained(HERE / "bases" / base)
    merged = PeftModel.from_pretrained(model, HERE / "adapters" / adapter).merge_and_unload()
    step = {"op": "merge-in-4bit", "rounding": "nearest", "scales": "fresh"}
    # bitsandbytes' own state dict; names of the pieces are as in the file.
    add(name or f"{base}+{adapter}", base, adapter, step, {key: value for key, value in merged.state_dict().items()})


def save_base(name, model, dtype):
    folder = HERE / "bases" / name
    copy.deepcopy(model).to(dtype).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    return folder


def save_base_in_4bit(name, dense, double_quant=True):
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=double_quant,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    model = AutoModelForCausalLM.from_pretrained(HERE / "bases" / dense, quantization_config=settings, dtype=torch.bfloat16)
    folder = HERE / "bases" / name
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)


def gpt2():
    torch.manual_seed(4)
    sizes = dict(vocab_size=32, n_positions=8, n_layer=1, n_head=2, tie_word_embeddings=False)
    # Its c_proj are square, one of attention and one of the MLP: only the class knows how they are stored.
    small = GPT2LMHeadModel(GPT2Config(n_embd=20, n_inner=20, **sizes))
    save_base("gpt2-f32", randomize(small, 8, lambda key: True, 0.05), torch.float32)
    model = GPT2LMHeadModel(GPT2Config(n_embd=64, n_inner=128, **sizes))
    randomize(model, 5, lambda key: True, 0.05)
    save_base("gpt2-bf16", model, torch.bfloat16)
    save_base_in_4bit("gpt2-nf4", "gpt2-bf16")
    layers = ["c_attn", "c_proj", "c_fc"]
    save_adapter("conv1d", model, LoraConfig(r=3, lora_alpha=6, fan_in_fan_out=True, target_modules=layers), 6)
    # PEFT sets fan_in_fan_out as it sees the modules' classes; the last one's is what it saves.
    save_adapter("conv1d-and-linear", model, LoraConfig(r=3, lora_alpha=6, target_modules=layers + ["lm_head"]), 7)
    save_adapter("conv1d-small", small, LoraConfig(r=3, lora_alpha=6, target_modules=layers + ["lm_head"]), 9, torch.bfloat16)
    merge_dense("gpt2-f32", "conv1d-small", {"op": "dequantize-merge"})
    merge_dense("gpt2-bf16", "conv1d-and-linear", {"op": "dequantize-merge"})
    merge_in_4bit("gpt2-nf4", "conv1d")
    merge_in_4bit("gpt2-nf4", "conv1d-and-linear")


# MARK: Experts


class FusedExperts(nn.Module):
    """[experts, out, in], as most of transformers has it."""

    def __init__(self, experts, width, hidden):
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.empty(experts, 2 * hidden, width))
        self.down_proj = nn.Parameter(torch.empty(experts, width, hidden))


class TransposedExperts(nn.Module):
    """[experts, in, out], as in gpt-oss, and with biases."""

    is_transposed = True

    def __init__(self, experts, width, hidden):
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.empty(experts, width, 2 * hidden))
        self.gate_up_proj_bias = nn.Parameter(torch.empty(experts, 2 * hidden))
        self.down_proj = nn.Parameter(torch.empty(experts, hidden, width))


class Fused(nn.Module):
    def __init__(self, kind, width=12, hidden=10):
        super().__init__()
        self.layers = nn.ModuleList()
        for _ in range(2):
            layer = nn.Module()
            layer.experts = kind(3, width, hidden)
            layer.q_proj = nn.Linear(width, width, bias=False)
            self.layers.append(layer)


def fused(name, kind, parameters, dtype, seed, **options):
    model = randomize(Fused(kind), seed, lambda key: True, 0.05)
    base = HERE / "bases" / name
    base.mkdir(parents=True)
    dense = model.to(dtype)
    save_file(dense.state_dict(), base / "model.safetensors", {"format": "pt"})
    (base / "config.json").write_text(json.dumps({"model_type": "fixture", "dtype": str(dtype)[6:]}, indent=2) + "\n")
    options = {"r": 2, "lora_alpha": 3, "target_modules": [], **options}
    save_adapter(name, model, LoraConfig(target_parameters=parameters, **options), seed + 1)
    merged = PeftModel.from_pretrained(dense, HERE / "adapters" / name).merge_and_unload()
    add(name, name, name, {"op": "dequantize-merge"}, merged.state_dict())


def experts():
    both = ["experts.gate_up_proj", "experts.down_proj"]
    fused("experts-out-in", FusedExperts, both, torch.float32, 10)
    fused(
        "experts-out-in-bf16",
        FusedExperts,
        both,
        torch.bfloat16,
        11,
        target_modules=["q_proj"],
        use_rslora=True,
        rank_pattern={"experts.down_proj": 4, r"layers\.1\.experts\.gate_up_proj": 3},
        alpha_pattern={"gate_up_proj": 8},
    )
    fused("experts-in-out", TransposedExperts, both, torch.float32, 12)
    fused("experts-in-out-f16", TransposedExperts, [*both, "layers.1.experts.gate_up_proj_bias"], torch.float16, 13)
    fused("experts-one", FusedExperts, ["layers.1.experts.down_proj"], torch.bfloat16, 14)
    fused("parameter-2d", FusedExperts, ["0.q_proj.weight"], torch.bfloat16, 15, rank_pattern={"q_proj.weight": 3})

    small = dict(num_hidden_layers=1, hidden_size=16, num_attention_heads=2, num_key_value_heads=1, head_dim=8, vocab_size=12)
    both = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    # The model has square matrices, whose order only its class knows.
    torch.manual_seed(16)
    model = GptOssForCausalLM(GptOssConfig(intermediate_size=16, num_local_experts=3, num_experts_per_tok=2, **small))
    randomize(model, 17, lambda key: True, 0.05)
    save_base("gpt-oss", model, torch.bfloat16)
    save_adapter("gpt-oss", model, LoraConfig(r=2, lora_alpha=5, target_modules=["q_proj"], target_parameters=both), 18)
    merge_dense("gpt-oss", "gpt-oss", {"op": "dequantize-merge"}, "gpt-oss")
    save_adapter("gpt-oss-down", model, LoraConfig(r=2, lora_alpha=5, target_modules=[], target_parameters=both[1:]), 19)
    merge_dense("gpt-oss", "gpt-oss-down", {"op": "dequantize-merge"}, "gpt-oss-down")

    # transformers fuses the experts of these when it loads them; the files have one matrix for each.
    torch.manual_seed(20)
    model = MixtralForCausalLM(MixtralConfig(intermediate_size=10, num_local_experts=3, **small))
    randomize(model, 21, lambda key: True, 0.05)
    save_base("mixtral", model, torch.float32)
    rank_pattern = {"experts.down_proj": 3}
    config = LoraConfig(r=2, lora_alpha=5, target_modules=["v_proj"], target_parameters=both, rank_pattern=rank_pattern)
    save_adapter("mixtral", model, config, 22)
    merge_dense("mixtral", "mixtral", {"op": "dequantize-merge"}, "mixtral")
    torch.manual_seed(23)
    sizes = dict(intermediate_size=10, moe_intermediate_size=10, num_experts=3, num_experts_per_tok=2)
    model = Qwen3MoeForCausalLM(Qwen3MoeConfig(**sizes, **small))
    randomize(model, 24, lambda key: True, 0.05)
    save_base("qwen3-moe", model, torch.bfloat16)
    save_adapter("qwen3-moe", model, LoraConfig(r=2, lora_alpha=5, target_modules=[], target_parameters=both), 25)
    merge_dense("qwen3-moe", "qwen3-moe", {"op": "dequantize-merge"}, "qwen3-moe")


def pieces(name, value, state):
    return {name: value, **{f"{name}.{key}": item for key, item in state.as_dict(packed=True).items()}}


def quantized(name, value):
    return pieces(name, *F.quantize_4bit(value.contiguous(), quant_type="nf4", compress_statistics=True))


def merged_in_4bit(name, value, delta):
    """What PEFT makes of a 4-bit weight: decoded, rounded to the quant state's dtype, summed in float32, quantized."""
    decoded = F.dequantize_4bit(*F.quantize_4bit(value.contiguous(), quant_type="nf4", compress_statistics=True))
    return quantized(name, decoded.float() + delta.float())


def experts_in_4bit():
    parameters = ["experts.gate_up_proj", "experts.down_proj"]
    model = randomize(Fused(FusedExperts, 64, 64), 26, lambda key: True, 0.05)
    del model.layers[1]
    config = LoraConfig(r=2, lora_alpha=8, target_modules=[], target_parameters=parameters, rank_pattern={"down_proj": 3})
    folder = save_adapter("experts-nf4", model, config, 27)
    config = {"model_type": "fixture", "dtype": "bfloat16"}
    config["quantization_config"] = {
        "quant_method": "bitsandbytes",
        "load_in_4bit": True,
        "load_in_8bit": False,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": "bfloat16",
        "bnb_4bit_quant_storage": "uint8",
        "llm_int8_skip_modules": None,
    }
    loaded = PeftModel.from_pretrained(copy.deepcopy(model), folder)
    outer = loaded.base_model.model.layers[0].experts
    deltas = {wrapper.parameter_name: wrapper.get_delta_weight("default") for wrapper in [outer, outer.base_layer]}
    weights = {key: value.to(torch.bfloat16) for key, value in model.state_dict().items()}
    # The same layer as bitsandbytes' parametrization saves it, and with a matrix for each expert.
    parametrized = copy.deepcopy(model).to(torch.bfloat16)
    for name in deltas:
        replace_parameter_4bit(parametrized.layers[0].experts, name, compress_statistics=True, quant_type="nf4")
    tensors = dict(parametrized.state_dict())
    step = {"op": "merge-in-4bit", "rounding": "nearest", "scales": "fresh"}
    expected, split, split_expected = {}, {}, {}
    for name, delta in deltas.items():
        key = f"layers.0.experts.{name}"
        assert all(torch.equal(tensors[piece], value) for piece, value in quantized(key, weights[key]).items()), name
        expected.update(merged_in_4bit(key, weights[key], delta))
        parts = ["gate_proj", "up_proj"] if name == "gate_up_proj" else ["down_proj"]
        for expert in range(3):
            for part, rows in zip(parts, torch.arange(weights[key].shape[1]).chunk(len(parts))):
                single = f"layers.0.experts.{expert}.{part}.weight"
                split.update(quantized(single, weights[key][expert, rows]))
                split_expected.update(merged_in_4bit(single, weights[key][expert, rows], delta[expert, rows]))
    for name, base, result in [("experts-nf4", tensors, expected), ("experts-nf4-split", split, split_expected)]:
        path = HERE / "bases" / name
        path.mkdir()
        save_file({key: value.contiguous().clone() for key, value in base.items()}, path / "model.safetensors", {"format": "pt"})
        (path / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        add(name, name, "experts-nf4", step, result)


# MARK: Replicated layers

REPLICATION = [[0, 2], [1, 2], [0, 1]]


def replicated(model):
    """The model with its layers really copied."""
    clone = copy.deepcopy(model)
    layers = [copy.deepcopy(model.model.layers[index]) for start, end in REPLICATION for index in range(start, end)]
    clone.model.layers = nn.ModuleList(layers)
    clone.config.num_hidden_layers = len(layers)
    return clone


def load_replicated(model, adapter):
    config = LoraConfig.from_pretrained(HERE / "adapters" / adapter)
    config.layer_replication = None
    return PeftModel.from_pretrained(replicated(model), HERE / "adapters" / adapter, config=config)


def replication():
    torch.manual_seed(30)
    sizes = dict(num_attention_heads=2, num_key_value_heads=1, head_dim=32, vocab_size=16, intermediate_size=64)
    model = LlamaForCausalLM(LlamaConfig(num_hidden_layers=2, hidden_size=64, tie_word_embeddings=False, **sizes))
    randomize(model, 31, lambda key: True, 0.05)
    save_base("llama-bf16", model, torch.bfloat16)
    save_base_in_4bit("llama-nf4", "llama-bf16")
    config = LoraConfig(
        r=2,
        lora_alpha=6,
        target_modules=["k_proj", "v_proj"],
        layer_replication=REPLICATION,
        rank_pattern={r"layers\.[23]\.self_attn\.v_proj": 3},
    )
    save_adapter("replicated", model, config, 32)
    dense = AutoModelForCausalLM.from_pretrained(HERE / "bases/llama-bf16", dtype="auto")
    merged = load_replicated(dense, "replicated").merge_and_unload()
    add("replicated-bf16", "llama-bf16", "replicated", {"op": "dequantize-merge"}, saved(merged))
    quantized = AutoModelForCausalLM.from_pretrained(HERE / "bases/llama-nf4")
    merged = load_replicated(quantized, "replicated").merge_and_unload()
    step = {"op": "merge-in-4bit", "rounding": "nearest", "scales": "fresh"}
    add("replicated-nf4", "llama-nf4", "replicated", step, merged.state_dict())


# MARK: Initializations that change the base


def converted(name, initialization):
    """An adapter that PEFT turned into one for the original base when it was saved."""
    base = "bases/parameter-2d"
    model = Fused(FusedExperts)
    model.load_state_dict({key: value.float() for key, value in load_file(HERE / base / "model.safetensors").items()})
    config = LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj"], init_lora_weights=initialization)
    torch.manual_seed(40)
    adapted = get_peft_model(copy.deepcopy(model), config)
    initial = HERE / "scratch"
    adapted.peft_config["default"].init_lora_weights = True
    adapted.save_pretrained(initial)
    adapted.peft_config["default"].init_lora_weights = initialization
    generator = torch.Generator().manual_seed(41)
    for key, parameter in adapted.named_parameters():
        if "lora_" in key:
            parameter.data += torch.randn(parameter.shape, generator=generator) * 0.05
    trained = {key: module.weight.data.clone() for key, module in copy.deepcopy(adapted).merge_and_unload().named_modules() if "q_proj" in key}
    folder = HERE / "adapters" / name
    adapted.save_pretrained(folder, path_initial_model_for_weight_conversion=str(initial))
    shutil.rmtree(initial)
    (folder / "README.md").unlink(missing_ok=True)
    sorted_config(folder)
    # Without the conversion: for the changed base only.
    unconverted = HERE / "adapters" / f"{name}-unconverted"
    adapted.save_pretrained(unconverted)
    (unconverted / "README.md").unlink(missing_ok=True)
    sorted_config(unconverted)
    dense = copy.deepcopy(model)
    merged = PeftModel.from_pretrained(dense, folder).merge_and_unload().state_dict()
    # What was trained on the changed base is what the converted adapter makes of the original one.
    for key, value in trained.items():
        assert torch.allclose(merged[f"{key}.weight"], value, atol=1e-5), key
    folder = HERE / "bases/linear-f32"
    if not folder.exists():
        folder.mkdir()
        save_file(model.state_dict(), folder / "model.safetensors", {"format": "pt"})
        (folder / "config.json").write_text(json.dumps({"model_type": "fixture", "dtype": "float32"}, indent=2) + "\n")
    add(name, "linear-f32", name, {"op": "dequantize-merge"}, merged)


def main():
    for folder in ["bases", "adapters", "expected"]:
        shutil.rmtree(HERE / folder, ignore_errors=True)
    (HERE / "expected").mkdir()
    convolutions()
    gpt2()
    experts()
    experts_in_4bit()
    replication()
    converted("pissa", "pissa")
    converted("olora", "olora")
    (HERE / "manifest.json").write_text(json.dumps({"cases": cases}, indent=2) + "\n")


main()
