#!/usr/bin/env python3
"""Makes a tiny Llama, adapters of every kind that PEFT's LoRA can save for it, and what PEFT merges them to.

    python make_kinds.py        # torch, transformers, peft, bitsandbytes, safetensors

`bases/*` are models as transformers saves them: with its own output head or with a tied one, in bfloat16 and in NF4.
`adapters/*` are what `save_pretrained` writes. `manifest.json` lists the cases: base, adapters, operations, the dtype
that the base is cast to before PEFT merges, and what the config says afterwards. `expected/*` hold the tensors of PEFT's
merged model that differ from the base's, so that all others must be as they were.

Two things are not taken from PEFT's merge: the bias of lora_B onto 4-bit layers, which PEFT 0.21.2 adds unscaled there
(its forward pass scales it), and merges of several adapters into 4 bit, which PEFT rounds once for each.
"""

import json
import shutil
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

warnings.filterwarnings("ignore")
logging.set_verbosity_error()
torch.set_num_threads(1)
HERE = Path(__file__).parent
VOCABULARY = 40
DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}


def make_base(tied):
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        attention_bias=True,
        tie_word_embeddings=tied,
        initializer_range=0.05,
    )
    torch.manual_seed(7)
    model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(8)
    for name, parameter in model.named_parameters():
        if name.endswith("bias") or "norm" in name:
            parameter.data += torch.randn(parameter.shape, generator=generator) * 0.1
    return model.to(torch.bfloat16)


def tidy(folder):
    for path in folder.iterdir():
        if path.name in ["README.md", "generation_config.json"]:
            path.unlink()


def load(base, dtype=None, vocabulary=None):
    model = AutoModelForCausalLM.from_pretrained(HERE / "bases" / base, dtype=DTYPES.get(dtype, "auto"))
    if vocabulary:
        model.resize_token_embeddings(vocabulary)
    return model


def save_adapter(name, base, seed, vocabulary=None, save_embedding_layers="auto", **options):
    """Trains nothing: what would be trained gets random values."""
    folder = HERE / "adapters" / name
    options = {"r": 4, "lora_alpha": 10, "target_modules": ["q_proj", "k_proj"], **options}
    torch.manual_seed(seed)
    model = get_peft_model(load(base, vocabulary=vocabulary), LoraConfig(**options))
    generator = torch.Generator().manual_seed(seed)
    for _, parameter in model.named_parameters():
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=generator) * 0.07
            parameter.data += noise.to(parameter.dtype)
    model.save_pretrained(folder, save_embedding_layers=save_embedding_layers)
    tidy(folder)
    path = folder / "adapter_config.json"
    saved = json.loads(path.read_text())
    saved["base_model_name_or_path"] = base
    for key in ["target_modules", "modules_to_save"]:
        if isinstance(saved[key], list):
            saved[key].sort()
    path.write_text(json.dumps(saved, indent=2, sort_keys=True) + "\n")


def merge(base, adapters, dtype, vocabulary):
    model = load(base, dtype, vocabulary)
    names = [f"adapter{index}" for index in range(len(adapters))]
    loaded = PeftModel.from_pretrained(model, HERE / "adapters" / adapters[0], adapter_name=names[0])
    for name, adapter in zip(names[1:], adapters[1:]):
        loaded.load_adapter(HERE / "adapters" / adapter, adapter_name=name)
    merged = loaded.merge_and_unload(adapter_names=names) if len(names) > 1 else loaded.merge_and_unload()
    if base.startswith("nf4"):
        for adapter in adapters:
            scale_biases(merged, base, HERE / "adapters" / adapter)
    return merged


def scale_biases(merged, base, adapter):
    """Replaces the biases that PEFT made of a 4-bit layer's and an unscaled lora_B.bias."""
    config = json.loads((adapter / "adapter_config.json").read_text())
    original = load_file(HERE / "bases" / base / "model.safetensors")
    for key, bias in load_file(adapter / "adapter_model.safetensors").items():
        if key.endswith(".lora_B.bias"):
            name = key.removeprefix("base_model.model.").replace(".lora_B.bias", ".bias")
            value = original[name] + bias * (config["lora_alpha"] / config["r"])
            merged.get_parameter(name).data = value.to(original[name].dtype)


cases = []


def add(name, base, adapters, dtype=None, vocabulary=None):
    merged = merge(base, adapters, dtype, vocabulary)
    config = merged.config
    tensors = {key: value.detach() for key, value in merged.state_dict().items()}
    if config.tie_word_embeddings:
        assert merged.lm_head.weight.data_ptr() == merged.model.embed_tokens.weight.data_ptr()
        del tensors["lm_head.weight"]
    original = load_file(HERE / "bases" / base / "model.safetensors")

    def is_changed(key, value):
        if key not in original:
            return True
        before = original[key]
        if dtype and before.is_floating_point():
            before = before.to(DTYPES[dtype])
        return before.shape != value.shape or before.dtype != value.dtype or not torch.equal(before, value)

    # A weight in 4 bits is compared with all its pieces.
    changed = {key for key, value in tensors.items() if is_changed(key, value)}
    stems = {key.split(".weight.")[0] + ".weight" for key in changed if ".weight." in key}
    expected = {key: value for key, value in tensors.items() if key in changed or any(key.startswith(stem) for stem in stems)}
    assert expected
    path = f"expected/{name}.safetensors"
    save_file({key: value.contiguous().clone() for key, value in expected.items()}, HERE / path)
    case = {"name": name, "base": f"bases/{base}", "adapters": [f"adapters/{adapter}" for adapter in adapters]}
    if dtype:
        case["dtype"] = dtype
    cases.append(
        {
            **case,
            "expected": path,
            "names": sorted(tensors),
            "vocab_size": config.vocab_size,
            "tie_word_embeddings": config.tie_word_embeddings,
        }
    )


def main():
    for folder in ["bases", "adapters", "expected"]:
        shutil.rmtree(HERE / folder, ignore_errors=True)
    (HERE / "expected").mkdir()
    for name, tied in [("own-head", False), ("tied", True)]:
        make_base(tied).save_pretrained(HERE / "bases" / name)
        tidy(HERE / "bases" / name)
    settings = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16
    )
    for name in ["own-head", "tied"]:
        model = AutoModelForCausalLM.from_pretrained(
            HERE / "bases" / name, dtype=torch.bfloat16, quantization_config=settings, device_map="cpu"
        )
        model.save_pretrained(HERE / "bases" / f"nf4-{name}")
        tidy(HERE / "bases" / f"nf4-{name}")

    save_adapter("plain", "own-head", 10)
    save_adapter("dora", "own-head", 11, use_dora=True)
    save_adapter("dora-rslora", "own-head", 12, use_dora=True, use_rslora=True, r=3, target_modules=["q_proj", "down_proj"])
    for dtype in ["bf16", "f16", "f32"]:
        add(f"dora-{dtype}", "own-head", ["dora"], dtype)
    add("dora-nf4", "nf4-own-head", ["dora"])
    add("dora-rslora-nf4", "nf4-own-head", ["dora-rslora"])
    add("dora-twice-f32", "own-head", ["dora", "dora-rslora"], "f32")
    add("dora-among-plain-f32", "own-head", ["plain", "dora", "plain", "dora-rslora"], "f32")

    save_adapter("lora-bias", "own-head", 13, lora_bias=True)
    for dtype in ["bf16", "f32"]:
        add(f"lora-bias-{dtype}", "own-head", ["lora-bias"], dtype)
    add("lora-bias-nf4", "nf4-own-head", ["lora-bias"])

    # Whole tensors.
    save_adapter("bias-all", "own-head", 20, bias="all")
    save_adapter("bias-lora-only", "own-head", 21, bias="lora_only")
    add("bias-all-bf16", "own-head", ["bias-all"], "bf16")
    add("bias-all-nf4", "nf4-own-head", ["bias-all"])
    add("bias-lora-only-f32", "own-head", ["bias-lora-only"], "f32")
    save_adapter("saved-head", "own-head", 22, modules_to_save=["lm_head", "norm"])
    for dtype in ["bf16", "f16", "f32"]:
        add(f"saved-head-{dtype}", "own-head", ["saved-head"], dtype)
    add("saved-head-nf4", "nf4-own-head", ["saved-head"])
    save_adapter("saved-projection", "own-head", 25, modules_to_save=["down_proj"])
    add("saved-projection-bf16", "own-head", ["saved-projection"], "bf16")
    for saved in [["lm_head"], ["embed_tokens"], ["embed_tokens", "lm_head"]]:
        name = "tied-saved-" + "-and-".join({"lm_head": "head", "embed_tokens": "embedding"}[module] for module in saved)
        save_adapter(name, "tied", 23, modules_to_save=saved)
        add(f"{name}-bf16", "tied", [name], "bf16")
    add("tied-saved-head-nf4", "nf4-tied", ["tied-saved-head"])
    save_adapter("tied-kept", "tied", 24, modules_to_save=["embed_tokens"], ensure_weight_tying=True)
    add("tied-kept-bf16", "tied", ["tied-kept"], "bf16")

    # Embeddings.
    embedding = {"target_modules": ["q_proj", "embed_tokens"]}
    save_adapter("embedding", "own-head", 30, **embedding)
    save_adapter("embedding-alone", "own-head", 31, save_embedding_layers=False, **embedding)
    save_adapter("embedding-dora", "own-head", 32, use_dora=True, **embedding)
    save_adapter("tied-embedding", "tied", 33, **embedding)
    save_adapter("tied-head", "tied", 34, target_modules=["q_proj", "lm_head"])
    for dtype in ["bf16", "f16", "f32"]:
        add(f"embedding-{dtype}", "own-head", ["embedding"], dtype)
    add("embedding-alone-bf16", "own-head", ["embedding-alone"], "bf16")
    add("embedding-nf4", "nf4-own-head", ["embedding"])
    add("embedding-dora-bf16", "own-head", ["embedding-dora"], "bf16")
    add("embedding-dora-f32", "own-head", ["embedding-dora"], "f32")
    add("tied-embedding-bf16", "tied", ["tied-embedding"], "bf16")
    add("tied-head-bf16", "tied", ["tied-head"], "bf16")

    # Trained rows.
    save_adapter("tokens", "own-head", 40, trainable_token_indices=[3, 17, 39])
    save_adapter("tokens-of-two", "own-head", 41, trainable_token_indices={"embed_tokens": [0, 5], "lm_head": [2]})
    save_adapter("tied-tokens", "tied", 42, trainable_token_indices=[1, 3], ensure_weight_tying=True)
    add("tokens-bf16", "own-head", ["tokens"], "bf16")
    add("tokens-nf4", "nf4-own-head", ["tokens"])
    add("tokens-of-two-f32", "own-head", ["tokens-of-two"], "f32")
    add("tied-tokens-bf16", "tied", ["tied-tokens"], "bf16")

    # Another vocabulary.
    save_adapter("grown", "own-head", 50, vocabulary=43, save_embedding_layers=True)
    save_adapter("shrunk", "own-head", 51, vocabulary=37, save_embedding_layers=True)
    save_adapter("tied-grown", "tied", 52, vocabulary=43, save_embedding_layers=True)
    save_adapter("saved-grown", "own-head", 53, vocabulary=43, modules_to_save=["embed_tokens", "lm_head"])
    save_adapter("embedding-grown", "own-head", 54, vocabulary=43, save_embedding_layers=True, target_modules=["q_proj", "embed_tokens", "lm_head"])
    for name, size in [("grown", 43), ("shrunk", 37), ("saved-grown", 43), ("embedding-grown", 43)]:
        add(f"{name}-bf16", "own-head", [name], "bf16", size)
    save_adapter("tokens-grown", "own-head", 56, vocabulary=43, save_embedding_layers=True, trainable_token_indices=[1, 41])
    save_adapter(
        "dora-grown",
        "own-head",
        58,
        vocabulary=43,
        save_embedding_layers=True,
        use_dora=True,
        target_modules=["q_proj", "embed_tokens", "lm_head"],
    )
    for dtype in ["bf16", "f32"]:
        add(f"dora-grown-{dtype}", "own-head", ["dora-grown"], dtype, 43)
    add("tokens-grown-bf16", "own-head", ["tokens-grown"], "bf16", 43)
    add("tied-grown-bf16", "tied", ["tied-grown"], "bf16", 43)
    add("grown-nf4", "nf4-own-head", ["grown"], None, 43)
    # Without what PEFT cannot decide either.
    save_adapter("half-grown", "own-head", 55, vocabulary=43, save_embedding_layers=False, modules_to_save=["embed_tokens"])
    save_adapter("tokens-alone-grown", "own-head", 56, vocabulary=43, save_embedding_layers=False, trainable_token_indices=[1, 41])
    save_adapter("embedding-alone-grown", "own-head", 57, vocabulary=43, save_embedding_layers=False, **embedding)

    (HERE / "manifest.json").write_text(json.dumps({"cases": cases}, indent=1) + "\n")


main()
