"""Makes the fixtures of CheckpointsTests with the real libraries.

Run in this directory with torch, transformers 5.23, bitsandbytes 0.50.2 and safetensors 0.8; output is deterministic.
"""

import json
import os
import random
import shutil
import struct

import bitsandbytes as bnb
import bitsandbytes.functional as F
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSequenceClassification
from transformers.integrations.bitsandbytes import replace_with_bnb_linear
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import BitsAndBytesConfig

HERE = os.path.dirname(os.path.abspath(__file__))


def path(*names):
    full = os.path.join(HERE, *names)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    return full


# Every dtype that torch can write, in names whose byte order and dtype order differ; an empty tensor and a scalar.
def reference_order():
    generator = torch.Generator().manual_seed(1)
    dtypes = [
        torch.bool, torch.uint8, torch.int8, torch.float8_e5m2, torch.float8_e4m3fn, torch.float8_e8m0fnu,
        torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.int16, torch.uint16, torch.float16, torch.bfloat16,
        torch.int32, torch.uint32, torch.float32, torch.complex64, torch.float64, torch.int64, torch.uint64,
    ]
    tensors = {}
    for number, dtype in enumerate(dtypes):
        size = torch.empty(0, dtype=dtype).element_size()
        for name, shape in ((f"z{number}.weight", [3, 5]), (f"B.{number}", [2]), (f"é.{number}\n\"\\", [])):
            count = int(torch.tensor(shape).prod()) if shape else 1
            raw = torch.randint(0, 2 if dtype == torch.bool else 256, (count * size,), generator=generator)
            tensors[name] = raw.to(torch.uint8).view(dtype).reshape(shape)
        tensors[f"empty.{number}"] = torch.empty([0, 4], dtype=dtype)
    save_file(tensors, path("reference-order.safetensors"), metadata={"format": "pt", "note": "tab\tquote\" é"})


# Sub-byte dtypes, which torch cannot write: by hand, after the format's description.
def sub_byte():
    tensors = [  # in the reference's layout order
        ("a", "U8", [3], 3), ("f6b", "F6_E3M2", [4, 2], 6), ("f6a", "F6_E2M3", [4], 3), ("f4", "F4", [2, 3], 3),
    ]
    header, position, data = {"__metadata__": {"format": "pt"}}, 0, b""
    for name, dtype, shape, size in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + size]}
        data += bytes((position + i) * 37 % 256 for i in range(size))
        position += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path("sub-byte.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def quantized(name, shape, generator, dtype=torch.bfloat16, storage=torch.uint8, **options):
    weight = torch.randn(shape, generator=generator).to(dtype)
    codes, state = F.quantize_4bit(weight.flatten(), quant_storage=storage, **options)
    state.shape = torch.Size(shape)
    pieces = {name: codes}
    pieces.update({f"{name}.{key}": value for key, value in state.as_dict(packed=True).items()})
    expected = {
        "name": name, "shape": list(shape), "quant_type": options["quant_type"], "blocksize": options["blocksize"],
        "dtype": str(dtype).removeprefix("torch."), "double_quant": options["compress_statistics"],
        "offset": state.offset.item() if state.nested else None, "storage": str(storage).removeprefix("torch."),
        "codes_shape": list(codes.shape),
    }
    return {key: value.contiguous() for key, value in pieces.items()}, expected


def bitsandbytes_variants():
    generator = torch.Generator().manual_seed(2)
    tensors, expected = {}, []

    def add(*arguments, **options):
        pieces, entry = quantized(*arguments, generator, **options)
        tensors.update(pieces)
        expected.append(entry)

    for quant_type in ("nf4", "fp4"):
        for double in (False, True):
            for blocksize in (32, 64, 128, 256, 512, 1024, 2048, 4096):
                add(f"{quant_type}.{blocksize}.{'double' if double else 'single'}.weight", (6, 21),
                    quant_type=quant_type, blocksize=blocksize, compress_statistics=double)
    for storage in (torch.int8, torch.float16, torch.bfloat16, torch.float32, torch.float64):
        add(f"storage.{str(storage).removeprefix('torch.')}.weight", (8, 32), storage=storage,
            quant_type="nf4", blocksize=64, compress_statistics=True)
    for dtype in (torch.float16, torch.float32):
        add(f"dtype.{str(dtype).removeprefix('torch.')}.weight", (3, 5), dtype=dtype,
            quant_type="nf4", blocksize=64, compress_statistics=True)
    # More than one nested block, a 3-D tensor.
    add("experts.gate_up_proj", (2, 70, 64), quant_type="nf4", blocksize=32, compress_statistics=True)
    tensors["norm.weight"] = torch.ones(7, dtype=torch.bfloat16)
    save_file(tensors, path("bitsandbytes.safetensors"), metadata={"format": "pt"})
    with open(path("bitsandbytes.json"), "w") as file:
        json.dump(expected, file, indent=1)
        file.write("\n")


def scattered():
    """Pieces of one weight in different shards, which real tools make when they split by size."""
    generator = torch.Generator().manual_seed(3)
    tensors = {"model.norm.weight": torch.ones(4, dtype=torch.bfloat16)}
    for number, double in enumerate((True, False)):
        pieces, _ = quantized(f"model.layers.{number}.q_proj.weight", (4, 16), generator,
                              quant_type="nf4", blocksize=32, compress_statistics=double)
        tensors.update(pieces)
    order = sorted(tensors)
    random.Random(3).shuffle(order)
    weight_map = {}
    for shard in range(3):
        name = f"model-{shard + 1:05d}-of-00003.safetensors"
        members = order[shard::3]
        save_file({key: tensors[key] for key in members}, path("scattered", name), metadata={"format": "pt"})
        weight_map.update({key: name for key in members})
    index = {"metadata": {"total_size": 12345678}, "weight_map": weight_map}  # not believed by anybody
    with open(path("scattered", "model.safetensors.index.json"), "w") as file:
        file.write(json.dumps(index, indent=2, sort_keys=True) + "\n")


def sharded():
    """A small model as transformers shards it, and the order of its state dict."""
    torch.manual_seed(4)
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        vocab_size=32, tie_word_embeddings=False, dtype=torch.bfloat16)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    shutil.rmtree(path("sharded"), ignore_errors=True)
    model.save_pretrained(path("sharded"), max_shard_size="3KB")
    with open(path("sharded-order.json"), "w") as file:
        json.dump(list(model.state_dict()), file, indent=1)
        file.write("\n")


SMALL = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, vocab_size=64)
ARCHITECTURES = {
    "llama": (AutoModelForCausalLM, transformers.LlamaConfig, dict(SMALL, tie_word_embeddings=False)),
    "llama-tied": (AutoModelForCausalLM, transformers.LlamaConfig, dict(SMALL, tie_word_embeddings=True)),
    "llama-reward": (AutoModelForSequenceClassification, transformers.LlamaConfig, SMALL),
    "mistral": (AutoModelForCausalLM, transformers.MistralConfig, dict(SMALL, num_key_value_heads=1)),
    "qwen2": (AutoModelForCausalLM, transformers.Qwen2Config, dict(SMALL, num_key_value_heads=1)),
    "qwen3": (AutoModelForCausalLM, transformers.Qwen3Config, dict(SMALL, num_key_value_heads=1, head_dim=8)),
    "gemma2": (AutoModelForCausalLM, transformers.Gemma2Config, dict(SMALL, num_key_value_heads=1, head_dim=8)),
    "phi": (AutoModelForCausalLM, transformers.PhiConfig, SMALL),
    "gpt2": (AutoModelForCausalLM, transformers.GPT2Config, dict(n_embd=16, n_layer=2, n_head=2, vocab_size=64)),
    "gpt_neox": (AutoModelForCausalLM, transformers.GPTNeoXConfig, SMALL),
    "opt": (AutoModelForCausalLM, transformers.OPTConfig,
            dict(hidden_size=16, ffn_dim=32, num_hidden_layers=2, num_attention_heads=2, vocab_size=64,
                 word_embed_proj_dim=8)),
    "falcon": (AutoModelForCausalLM, transformers.FalconConfig, dict(SMALL)),
    "bloom": (AutoModelForCausalLM, transformers.BloomConfig, dict(hidden_size=16, n_layer=2, n_head=2, vocab_size=64)),
    "t5": (AutoModelForSeq2SeqLM, transformers.T5Config,
           dict(d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, vocab_size=64, feed_forward_proj="gated-gelu",
                tie_word_embeddings=False)),
    "bert": (AutoModel, transformers.BertConfig, SMALL),
    "mixtral": (AutoModelForCausalLM, transformers.MixtralConfig,
                dict(SMALL, num_key_value_heads=1, num_local_experts=2)),
}


def architectures():
    """What transformers replaces by Linear4bit, for each architecture."""
    results = {}
    for name, (auto, config_class, options) in ARCHITECTURES.items():
        config = config_class(**options)
        with torch.device("meta"):
            model = auto.from_config(config)
        skip = HfQuantizer.get_modules_to_not_convert(model, None, model._keep_in_fp32_modules)
        shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
        quantization = BitsAndBytesConfig(load_in_4bit=True)
        model = replace_with_bnb_linear(model, modules_to_not_convert=skip, quantization_config=quantization)
        chosen = [f"{key}.weight" for key, module in model.named_modules() if isinstance(module, bnb.nn.Linear4bit)]
        tied = set(model.all_tied_weights_keys)
        results[name] = {
            "model_type": config.model_type,
            "tensors": {key: shape for key, shape in shapes.items() if key not in tied},
            "quantized": sorted(chosen),
        }
    with open(path("architectures.json"), "w") as file:
        json.dump(results, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    reference_order()
    sub_byte()
    bitsandbytes_variants()
    scattered()
    sharded()
    architectures()
