"""Compares two checkpoints value by value with torch on the CPU, as a script of its users would.

    python torch_diff.py A B
"""

import sys
from pathlib import Path

import torch
from safetensors import safe_open


def tensors(path: str):
    """The weights by name, decoded to float32 one at a time."""
    file = safe_open(str(Path(path) / "model.safetensors"), framework="pt")
    names = set(file.keys())

    def load(name: str) -> torch.Tensor:
        tensor = file.get_tensor(name)
        state = f"{name}.quant_state.bitsandbytes__nf4"
        if state not in names:
            return tensor.float()
        from bitsandbytes.functional import QuantState, dequantize_4bit

        parts = {key: file.get_tensor(key) for key in names if key.startswith(name + ".")}
        return dequantize_4bit(tensor, QuantState.from_dict(parts, device="cpu")).float()

    weights = [name for name in names if not any(name.startswith(other + ".") for other in names)]
    return weights, load


def main(a: str, b: str) -> None:
    names, load_a = tensors(a)
    _, load_b = tensors(b)
    for name in sorted(names):
        left, right = load_a(name), load_b(name)
        if torch.equal(left, right):
            continue
        error = (right - left).double()
        exact = left.double()
        relative = (error.square().sum() / exact.square().sum()).sqrt().item()
        print(name, relative, error.abs().max().item())


if __name__ == "__main__":
    main(*sys.argv[1:])
