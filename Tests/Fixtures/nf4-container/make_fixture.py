"""Makes model.safetensors and values.bin with bitsandbytes 0.50.2 and torch 2.15 (CPU).

model.nf4 is the same model as qconv writes it: run the tests once with QCONV_WRITE_FIXTURES=1.
values.bin holds the decoded tensors in the order of model.safetensors' logical tensors: 4-bit and floating-point ones as
float32, others as they are. Weights are quantized as one long row, which no version of bitsandbytes gets wrong.
"""
from pathlib import Path

import bitsandbytes.functional as F
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

here = Path(__file__).parent
torch.manual_seed(4)
tensors, decoded = {}, {}


def quantized(name, shape, quant_type, blocksize, double):
    weight = (torch.randn(shape) * 0.02).to(torch.bfloat16)
    codes, state = F.quantize_4bit(
        weight.reshape(1, -1), blocksize=blocksize, compress_statistics=double, quant_type=quant_type)
    state.shape = torch.Size(shape)
    tensors[name] = codes
    for key, value in state.as_dict(packed=True).items():
        tensors[f"{name}.{key}"] = value
    state.shape, state.dtype = torch.Size([1, weight.numel()]), torch.float32
    # FP4 has two zeros; bitsandbytes decodes the second as -0.0, though its quant_map says 0.0.
    decoded[name] = F.dequantize_4bit(codes, state).reshape(-1) + 0.0


def dense(name, tensor):
    tensors[name] = tensor
    decoded[name] = (tensor.float() if tensor.is_floating_point() else tensor).reshape(-1)


quantized("layers.0.q_proj.weight", (96, 64), "nf4", 64, True)
quantized("layers.0.k_proj.weight", (37, 30), "fp4", 64, False)
quantized("layers.1.q_proj.weight", (64, 130), "nf4", 128, True)
quantized("layers.1.k_proj.weight", (50, 64), "nf4", 64, True)
dense("norm.weight", torch.randn(64).to(torch.bfloat16))
dense("half", torch.randn(5, 7).to(torch.float16))
dense("scale", torch.tensor(0.125))
dense("ids", torch.tensor([3, -1, 2**40]))
save_file({k: v.contiguous() for k, v in tensors.items()}, here / "model.safetensors", metadata={"format": "pt"})
with safe_open(here / "model.safetensors", "pt") as file:
    names = [name for name in file.offset_keys() if name in decoded]
(here / "values.bin").write_bytes(b"".join(decoded[name].numpy().tobytes() for name in names))
