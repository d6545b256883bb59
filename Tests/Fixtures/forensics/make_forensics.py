#!/usr/bin/env python3
"""Makes merges of a tiny random Llama that went wrong, each in a way that tools have been seen to do it.

    python make_forensics.py        # torch, transformers, peft, bitsandbytes, safetensors

`base.safetensors` (bf16) and `base-nf4.safetensors` are the models before the merge, `adapters/*` what PEFT's
`save_pretrained` writes, `merged/*` the weights of the target modules after it. Every merge is PEFT's own
`merge_and_unload`; what is wrong with one is a wrong configuration, wrong factors or a merge too many, except where a
comment says otherwise. `expected.json` names the verdict of every module that is not as configured.
"""

import json
import re
import shutil
import tempfile
import warnings
from pathlib import Path

import bitsandbytes as bnb
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
HERE = Path(__file__).parent
TARGETS = ["q_proj", "v_proj", "o_proj", "up_proj"]
CONFIG = LlamaConfig(
    vocab_size=16, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=1, tie_word_embeddings=True, dtype=torch.bfloat16,
)


def weights():
    generator = torch.Generator().manual_seed(41)
    state = LlamaForCausalLM(CONFIG).state_dict()
    return {key: (torch.randn(value.shape, generator=generator) * 0.05).to(torch.bfloat16) for key, value in state.items()}


def model(state):
    model = LlamaForCausalLM(CONFIG).to(torch.bfloat16)
    model.load_state_dict(state)
    return model


def is_target(name):
    return any(f".{target}.weight" in name for target in TARGETS)


def save_adapter(name, size, seed, **settings):
    folder = HERE / "adapters" / name
    wrapped = get_peft_model(
        model(weights()), LoraConfig(**{"r": 8, "lora_alpha": 16, "target_modules": TARGETS, **settings}))
    generator = torch.Generator().manual_seed(seed)
    for key, parameter in wrapped.named_parameters():
        if "lora_" in key:
            scale = 0.2 if "lora_A" in key else size
            parameter.data = (torch.randn(parameter.shape, generator=generator) * scale).to(torch.bfloat16)
    wrapped.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    saved = json.loads(path.read_text())
    saved["target_modules"].sort()
    path.write_text(json.dumps(saved, indent=2, sort_keys=True) + "\n")
    return folder


def edited(adapter, settings=None, factors=None):
    """A copy of an adapter with another configuration or other factors."""
    folder = Path(tempfile.mkdtemp())
    config = json.loads((adapter / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | (settings or {})))
    tensors = load_file(adapter / "adapter_model.safetensors")
    save_file(factors(tensors) if factors else tensors, folder / "adapter_model.safetensors")
    return folder


def merge(state, *adapters):
    merged = model(state)
    for adapter in adapters:
        merged = PeftModel.from_pretrained(merged, adapter).merge_and_unload()
    return {key: value for key, value in merged.state_dict().items()}


def swapped(tensors):
    """The factors of q_proj of the two layers change places, and up_proj's too."""

    def name(key):
        if "q_proj" not in key and "up_proj" not in key:
            return key
        return re.sub(r"layers\.(\d)", lambda match: f"layers.{1 - int(match.group(1))}", key)

    return {name(key): value for key, value in tensors.items()}


def transposed(adapter, state):
    """By hand: no setting of PEFT transposes an nn.Linear. Square weights get (B·A)ᵀ, the others B·A."""
    tensors = load_file(adapter / "adapter_model.safetensors")
    result = merge(state, adapter)
    for key in state:
        if ".q_proj." in key or ".o_proj." in key:
            module = "base_model.model." + key.removesuffix(".weight")
            update = tensors[module + ".lora_B.weight"].float() @ tensors[module + ".lora_A.weight"].float() * 2
            result[key] = (state[key].float() + update.T).to(torch.bfloat16)
    return result


def pieces(name, weight):
    tensors = {name: weight.data}
    for key, value in weight.quant_state.as_dict(packed=True).items():
        tensors[f"{name}.{key}"] = value.detach()
    return tensors


def quantized(value):
    return bnb.nn.Params4bit(
        value, requires_grad=False, compress_statistics=False, quant_type="nf4", blocksize=64).to("cpu")


def decoded(weight):
    """In the quant state's dtype, from a flattened view (bitsandbytes 0.50.2 misreads rows of half a block)."""
    state = weight.quant_state
    shape, state.shape = state.shape, torch.Size([state.shape.numel()])
    values = bnb.functional.dequantize_4bit(weight.data, state).reshape(shape)
    state.shape = shape
    return values


def main():
    for folder in ["adapters", "merged"]:
        shutil.rmtree(HERE / folder, ignore_errors=True)
    (HERE / "merged").mkdir()
    base = weights()
    save_file(base, HERE / "base.safetensors")
    plain = save_adapter("plain", 0.007, 42)
    rslora = save_adapter("rslora", 0.005, 43, use_rslora=True)
    patterns = save_adapter("patterns", 0.007, 44, alpha_pattern={"up_proj": 40}, rank_pattern={"v_proj": 4})
    small = save_adapter("small", 0.0006, 45)
    cases = []

    def add(name, adapter, tensors, wrong, base="base"):
        kept = {key: value.contiguous().clone() for key, value in tensors.items()}
        save_file(kept, HERE / "merged" / f"{name}.safetensors")
        cases.append({
            "name": name, "base": f"{base}.safetensors", "adapter": f"adapters/{adapter.name}",
            "merged": f"merged/{name}.safetensors", "wrong": wrong})

    def targets(tensors):
        return {key: value for key, value in tensors.items() if is_target(key)}

    modules = [f"model.layers.{layer}.{'mlp' if name == 'up_proj' else 'self_attn'}.{name}"
               for layer in range(2) for name in TARGETS]

    def every(verdict, only=""):
        return {module: verdict for module in modules if only in module}

    right = merge(base, plain)
    add("right", plain, targets(right), {})
    add("right-rslora", rslora, targets(merge(base, rslora)), {})
    add("right-patterns", patterns, targets(merge(base, patterns)), {})
    add("unscaled", plain, targets(merge(base, edited(plain, {"lora_alpha": 8}))), every("unscaled"))
    add("doubled", plain, targets(merge(base, plain, plain)), every("doubled"))
    add("negated", plain, targets(merge(base, edited(plain, {"lora_alpha": -16}))), every("negated"))
    add("rslora-for-plain", plain, targets(merge(base, edited(plain, {"use_rslora": True}))), every("rslora_scaling"))
    add("plain-for-rslora", rslora, targets(merge(base, edited(rslora, {"use_rslora": False}))), every("plain_scaling"))
    add("alpha-not-divided", plain, targets(merge(base, edited(plain, {"lora_alpha": 128}))), every("alpha_not_divided"))
    no_alphas = edited(patterns, {"alpha_pattern": {}})
    add("patterns-ignored", patterns, targets(merge(base, no_alphas)), every("patterns_ignored", "up_proj"))
    add("weighted", plain, targets(merge(base, edited(plain, {"lora_alpha": 12}))), every("scaled"))
    hole = "model.layers.1.self_attn.q_proj"
    without = edited(plain, factors=lambda tensors: {k: v for k, v in tensors.items() if hole not in k})
    add("one-missing", plain, targets(merge(base, without)), {hole: "missing"})
    add("swapped", plain, targets(merge(base, edited(plain, factors=swapped))),
        every("other_module", "q_proj") | every("other_module", "up_proj"))
    add("transposed", plain, targets(transposed(plain, base)), every("transposed", "q_proj") | every("transposed", "o_proj"))
    add("another-besides", plain, targets(merge(base, plain, small, rslora)), every("unexplained_change"))
    touched = targets(right) | {"model.norm.weight": right["model.norm.weight"] * 1.5}
    add("norm-changed", plain, touched, {"model.norm.weight": "changed_without_update"})

    # In 4 bit, step by step as peft/tuners/lora/bnb.py does (bitsandbytes cannot decode rows of half a block itself).
    weights4 = {key: quantized(value) for key, value in base.items() if is_target(key)}
    save_file(
        {key: value for key, value in base.items() if not is_target(key)}
        | {k: v for key, weight in weights4.items() for k, v in pieces(key, weight).items()},
        HERE / "base-nf4.safetensors")
    loaded = PeftModel.from_pretrained(model(base), small)
    merged4 = {}
    for key, weight in weights4.items():
        layer = loaded.base_model.model.get_submodule(key.removesuffix(".weight"))
        merged4[key] = quantized(decoded(weight) + layer.get_delta_weight("default").float())
    tensors = {k: v for key, weight in merged4.items() for k, v in pieces(key, weight).items()}
    add("nearest-4bit", small, tensors, every("erased_by_rounding"), "base-nf4")
    # The same merge, decoded again and saved in 16 bits.
    dense = {key: decoded(weight).to(torch.bfloat16) for key, weight in merged4.items()}
    add("nearest-4bit-decoded", small, dense, every("erased_by_rounding"), "base-nf4")
    onto4 = base | {key: decoded(weight).to(torch.bfloat16) for key, weight in weights4.items()}
    add("4bit-into-16", plain, targets(merge(onto4, plain)), {}, "base-nf4")
    add("onto-another-base", plain, targets(right), every("unexplained_change"), "base-nf4")

    (HERE / "expected.json").write_text(json.dumps({"cases": cases}, indent=2) + "\n")


main()
