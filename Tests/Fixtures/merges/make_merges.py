#!/usr/bin/env python3
"""Makes small checkpoints, adapters for them, and what PEFT + bitsandbytes merge them to.

    python make_merges.py        # torch, peft, bitsandbytes, safetensors

`manifest.json` lists the cases: base, adapter, operation, expected result. `bases/*` are checkpoint directories as
transformers writes them (the architecture does not exist, the files are real), `adapters/*` are what PEFT's
`save_pretrained` writes, `expected/*` hold the merged weights alone: bitsandbytes' pieces after a merge in 4 bit, plain
tensors after a merge into 16 or 32 bit.

bitsandbytes 0.50.2 has a bug on CPUs with AVX-512: it decodes with wrong absmax when a row is not a whole number of
blocks. Layers with such rows are therefore merged by PEFT's own steps with a decode of our own (`decode`), which is
checked against bitsandbytes' decode of a flattened view; for the other layers both ways are asserted to agree bit for
bit with PEFT's merge_and_unload.

B @ A is a float32 product, whose order of additions depends on the BLAS: on another machine single codes may differ.
"""

import copy
import json
import shutil
import warnings
from pathlib import Path

import bitsandbytes as bnb
import torch
from bitsandbytes import functional as F
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
HERE = Path(__file__).parent

# [out, in]. `wide` has blocks that cross row ends; `odd` also an odd number of elements and a short last block.
SHAPES = {"wide": (96, 160), "tall": (192, 64), "flat": (64, 192), "odd": (33, 65), "still": (64, 64)}
TARGETS = ["wide", "tall", "flat", "odd"]
PREFIX = "model.layers.0."


class Layer(nn.Module):
    def __init__(self, make_linear):
        super().__init__()
        for name, (rows, columns) in SHAPES.items():
            setattr(self, name, make_linear(columns, rows))


class Inner(nn.Module):
    def __init__(self, make_linear):
        super().__init__()
        self.embed_tokens = nn.Embedding(16, 64)
        self.layers = nn.ModuleList([Layer(make_linear)])
        self.norm = nn.LayerNorm(64, bias=False)


class Model(nn.Module):
    def __init__(self, make_linear=lambda columns, rows: nn.Linear(columns, rows, bias=False)):
        super().__init__()
        self.model = Inner(make_linear)


def original():
    """The weights that everything starts from, float32."""
    generator = torch.Generator().manual_seed(20)
    return {key: torch.randn(value.shape, generator=generator) * 0.05 for key, value in Model().state_dict().items()}


def dense_model(dtype, weights):
    model = Model().to(dtype)
    model.load_state_dict({key: value.to(dtype) for key, value in weights.items()})
    return model


def quantized_model(quant_type, blocksize, double_quant):
    """Weights in 4 bit, made from bfloat16 as in a QLoRA base."""

    def make_linear(columns, rows):
        return bnb.nn.Linear4bit(
            columns, rows, bias=False, compute_dtype=torch.bfloat16, compress_statistics=double_quant, quant_type=quant_type
        )

    model = Model(make_linear).to(torch.bfloat16)
    weights = original()
    for key, parameter in list(model.named_parameters()):
        value = weights[key].to(torch.bfloat16)
        if PREFIX not in key:
            parameter.data = value
            continue
        layer = model.get_submodule(key.removesuffix(".weight"))
        layer.weight = bnb.nn.Params4bit(
            value, requires_grad=False, compress_statistics=double_quant, quant_type=quant_type, blocksize=blocksize, module=layer
        ).to("cpu")
    model.is_loaded_in_4bit = True
    return model


def decode(weight):
    """Decodes a Params4bit by the format's rules, in the quant state's dtype."""
    state = weight.quant_state
    packed = weight.data.view(torch.uint8).flatten()
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    absmax = state.absmax
    if state.nested:
        absmax = F.dequantize_blockwise(state.absmax, state.state2) + state.offset
    elements = state.shape.numel()
    scales = absmax.float().repeat_interleave(state.blocksize)[:elements]
    values = (state.code[codes[:elements]] * scales).to(state.dtype)
    # bitsandbytes agrees once rows are out of the way.
    flat = copy.copy(state)
    flat.shape = torch.Size([elements])
    assert torch.equal(values, F.dequantize_4bit(weight.data, flat).flatten())
    return values.reshape(state.shape)


def pieces(name, weight):
    """The tensors that bitsandbytes stores for a 4-bit weight."""
    tensors = {name: weight.data}
    for key, value in weight.quant_state.as_dict(packed=True).items():
        tensors[f"{name}.{key}"] = value.detach()
    return tensors


def save_base(folder, tensors, config):
    folder.mkdir(parents=True)
    save_file({key: value.contiguous().clone() for key, value in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps({"model_type": "fixture", **config}, indent=2) + "\n")


def save_adapter(folder, config, dtype, seed):
    model = get_peft_model(dense_model(torch.float32, original()), config)
    generator = torch.Generator().manual_seed(seed)
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            parameter.data = (torch.randn(parameter.shape, generator=generator) * 0.07).to(dtype)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    saved = json.loads(path.read_text())
    saved["target_modules"].sort()
    path.write_text(json.dumps(saved, indent=2, sort_keys=True) + "\n")


def merge_in_4bit(model, adapter):
    """PEFT's merge of an adapter into 4-bit weights."""
    weights = {name: getattr(model.model.layers[0], name).weight for name in TARGETS}
    decoded = {name: decode(weight) for name, weight in weights.items()}
    loaded = PeftModel.from_pretrained(model, adapter)
    layer = loaded.base_model.model.model.layers[0]
    merged = {}
    for name in TARGETS:
        # peft/tuners/lora/bnb.py, Linear4bit.merge
        old = weights[name]
        value = decoded[name] + getattr(layer, name).get_delta_weight("default")
        assert value.dtype == torch.float32
        merged[name] = bnb.nn.Params4bit(
            value,
            requires_grad=False,
            compress_statistics=old.compress_statistics,
            quant_type=old.quant_type,
            blocksize=old.blocksize,
        ).to("cpu")
    blocksize = weights["flat"].blocksize
    layer = loaded.merge_and_unload().model.layers[0]
    for name in TARGETS:
        if SHAPES[name][1] % blocksize == 0:
            ours, theirs = pieces(name, merged[name]), pieces(name, getattr(layer, name).weight)
            assert ours.keys() == theirs.keys()
            assert all(torch.equal(ours[key], theirs[key]) for key in ours), name
    expected = {}
    for name in TARGETS:
        expected.update(pieces(f"{PREFIX}{name}.weight", merged[name]))
    return expected


def merge_into_dense(weights, dtype, adapter):
    merged = PeftModel.from_pretrained(dense_model(dtype, weights), adapter).merge_and_unload()
    return {key: value for key, value in merged.state_dict().items() if PREFIX in key}


def main():
    for folder in ["bases", "adapters", "expected"]:
        shutil.rmtree(HERE / folder, ignore_errors=True)
    (HERE / "expected").mkdir()
    save_adapter(HERE / "adapters/plain", LoraConfig(r=8, lora_alpha=16, target_modules=TARGETS), torch.float32, 30)
    save_adapter(
        HERE / "adapters/patterns-bf16",
        LoraConfig(
            r=4,
            lora_alpha=5,
            use_rslora=True,
            target_modules=TARGETS,
            rank_pattern={"tall": 3, r"layers\.\d\.odd": 6},
            alpha_pattern={"(flat|wide)": 7},
        ),
        torch.bfloat16,
        31,
    )
    cases = []

    def add(name, base, adapter, operation, expected, untouched):
        path = f"expected/{name}.safetensors"
        save_file({key: value.contiguous().clone() for key, value in expected.items()}, HERE / path)
        case = {"name": name, "base": f"bases/{base}", "adapter": f"adapters/{adapter}", "step": operation}
        cases.append({**case, "expected": path, "untouched": untouched})

    others = ["model.embed_tokens.weight", "model.norm.weight"]
    still = f"{PREFIX}still.weight"
    nearest = {"op": "merge-in-4bit", "rounding": "nearest", "scales": "fresh"}
    dtypes = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}

    variants = [("nf4", 64, True), ("nf4", 64, False), ("fp4", 64, True), ("fp4", 64, False), ("nf4", 128, True)]
    for quant_type, blocksize, double_quant in variants:
        base = f"{quant_type}-{blocksize}" + ("-dq" if double_quant else "")
        model = quantized_model(quant_type, blocksize, double_quant)
        tensors = {key: value for key, value in model.state_dict().items() if PREFIX not in key}
        for name in SHAPES:
            tensors.update(pieces(f"{PREFIX}{name}.weight", getattr(model.model.layers[0], name).weight))
        settings = {
            "quant_method": "bitsandbytes",
            "load_in_4bit": True,
            "load_in_8bit": False,
            "bnb_4bit_quant_type": quant_type,
            "bnb_4bit_use_double_quant": double_quant,
            "bnb_4bit_compute_dtype": "bfloat16",
            "bnb_4bit_quant_storage": "uint8",
            "llm_int8_skip_modules": None,
        }
        save_base(HERE / "bases" / base, tensors, {"dtype": "bfloat16", "quantization_config": settings})
        # The decoded weights are those of the base before PEFT merges in place.
        decoded = {key: value for key, value in model.state_dict().items() if key in others}
        for name in SHAPES:
            decoded[f"{PREFIX}{name}.weight"] = decode(getattr(model.model.layers[0], name).weight)
        for adapter in ["plain", "patterns-bf16"] if base == "nf4-64-dq" else ["plain"]:
            fresh = quantized_model(quant_type, blocksize, double_quant)
            expected = merge_in_4bit(fresh, HERE / "adapters" / adapter)
            add(f"{base}+{adapter}-in-4bit", base, adapter, nearest, expected, others + [still])
        for label in {"nf4-64-dq": ["bf16", "f16", "f32"], "fp4-64": ["bf16"]}.get(base, []):
            expected = merge_into_dense(decoded, dtypes[label], HERE / "adapters/plain")
            step = {"op": "dequantize-merge", "dtype": label}
            add(f"{base}+plain-to-{label}", base, "plain", step, expected, [])

    for label, dtype in dtypes.items():
        weights = {key: value.to(dtype) for key, value in original().items()}
        save_base(HERE / "bases" / label, weights, {"dtype": str(dtype).removeprefix("torch.")})
        adapter = "patterns-bf16" if label == "bf16" else "plain"
        expected = merge_into_dense(weights, dtype, HERE / "adapters" / adapter)
        del expected[still]
        step = {"op": "dequantize-merge", "dtype": label}
        add(f"{label}+{adapter}-to-{label}", label, adapter, step, expected, others + [still])

    (HERE / "manifest.json").write_text(json.dumps({"cases": cases}, indent=2) + "\n")


main()
