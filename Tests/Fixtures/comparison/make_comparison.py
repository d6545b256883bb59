"""Makes pairs of tensors in every two encodings, and what numpy says in float64 about their difference.

a.safetensors and b.safetensors hold one tensor each for every pair of encodings, named "<a>-<b>", and some special
ones; expected.json holds the figures. base.safetensors, merged.safetensors and adapter/ are for the survival of an
adapter's update. Needs numpy, torch, safetensors and bitsandbytes.
"""

import itertools
import json
import pathlib

import bitsandbytes.functional as bnb
import numpy as np
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
DENSE = {
    "f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16,
    "f8e4m3": torch.float8_e4m3fn, "f8e5m2": torch.float8_e5m2,
}
QUANTIZED = {"nf4": ("nf4", False), "nf4dq": ("nf4", True), "fp4": ("fp4", False), "fp4dq": ("fp4", True)}
generator = torch.Generator().manual_seed(20240611)


def stored(name, values, encoding):
    """The tensors that store `values`, and the float64 values that a reader of them gets."""
    if encoding in DENSE:
        tensor = values.to(DENSE[encoding])
        return {name: tensor}, tensor.to(torch.float64).numpy(), {}
    quant_type, double = QUANTIZED[encoding]
    codes, state = bnb.quantize_4bit(
        values.to(torch.float32), blocksize=64, quant_type=quant_type, compress_statistics=double)
    tensors = {name: codes} | {f"{name}.{key}": value for key, value in state.as_dict(packed=True).items()}
    absmax = state.absmax
    if double:
        nested = state.state2
        blocks = (torch.arange(absmax.numel()) // nested.blocksize).long()
        absmax = nested.code[absmax.long()] * nested.absmax[blocks] + state.offset
    nibbles = torch.stack([codes.flatten() >> 4, codes.flatten() & 15], dim=1).flatten()[: values.numel()].long()
    block = torch.arange(values.numel()) // 64
    decoded = state.code[nibbles] * absmax[block]
    assert decoded.dtype == torch.float32
    grid = {"codes": nibbles.numpy(), "scales": absmax.numpy(), "levels": quant_type}
    return tensors, decoded.to(torch.float64).reshape(values.shape).numpy(), grid


def number(value):
    return float(value) if np.isfinite(value) else None


def figures(a, b, grid_a=None, grid_b=None):
    a, b = a.flatten().astype(np.float64), b.flatten().astype(np.float64)
    changed = (a != b) & ~(np.isnan(a) & np.isnan(b))
    both = np.isfinite(a) & np.isfinite(b)
    x, y = a[both], b[both]
    result = {
        "elements": a.size, "changed": int(changed.sum()),
        "nan_a": int(np.isnan(a).sum()), "nan_b": int(np.isnan(b).sum()),
        "infinite_a": int(np.isinf(a).sum()), "infinite_b": int(np.isinf(b).sum()),
    }
    if x.size:
        error = y - x
        noise, signal = np.sum(error**2), np.sum(x**2)
        norms = np.sqrt(np.sum(x**2) * np.sum(y**2))
        magnitudes = np.sort(np.abs(error))
        result |= {
            "relative_error": 0.0 if noise == 0 else number(np.sqrt(noise / signal)) if signal else None,
            "rmse": number(np.sqrt(noise / x.size)), "max_abs_error": number(magnitudes[-1]),
            "cosine": number(np.dot(x, y) / norms) if norms else None,
            "sqnr_db": number(10 * np.log10(signal / noise)) if noise and signal else None,
            "percentiles": [number(np.percentile(magnitudes, p, method="inverted_cdf")) for p in (50, 95, 99.9)],
        }
    if grid_a and grid_b and grid_a["levels"] == grid_b["levels"]:
        result["codes_changed"] = int((grid_a["codes"] != grid_b["codes"]).sum())
        result["scales_changed"] = int((grid_a["scales"] != grid_b["scales"]).sum())
    return result


def random(*shape):
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def special():
    """Pairs of dense tensors that something is special about."""
    nan, inf = float("nan"), float("inf")
    values = random(7, 11)
    yield "same", values.float(), values.float()
    yield "widened", values.bfloat16(), values.bfloat16().float()
    broken_a, broken_b = values.float().clone(), values.float().clone()
    broken_a[0, :4] = torch.tensor([nan, inf, -inf, nan])
    broken_b[0, :4] = torch.tensor([nan, inf, inf, 1.0])
    broken_b[3, 5] = nan
    broken_b[4, 5] += 0.25
    yield "broken", broken_a, broken_b
    yield "all-nan", torch.full((3,), nan), torch.full((3,), nan)
    yield "zeros", torch.zeros(5, 13), -torch.zeros(5, 13)
    yield "from-zeros", torch.zeros(5, 13), torch.full((5, 13), 0.5)
    yield "to-zeros", torch.full((5, 13), 0.5), torch.zeros(5, 13)
    yield "empty", torch.zeros(0, 4), torch.zeros(0, 4)
    yield "empty-widened", torch.zeros(0, 4, dtype=torch.bfloat16), torch.zeros(0, 4)
    yield "scalar", torch.tensor(1.5), torch.tensor(1.25)
    yield "scalar-to-half", torch.tensor(1.5), torch.tensor(1.25, dtype=torch.float16)
    yield "int64", torch.arange(10) + 2**53, torch.arange(10) + 2**53 + torch.tensor([0, 1] * 5)
    yield "int32-to-float", torch.arange(10, dtype=torch.int32), torch.arange(10) * 1.5
    yield "bool", torch.tensor([True, False, True]), torch.tensor([True, True, True])
    yield "huge", torch.full((4,), 3e38), torch.full((4,), -3e38)
    yield "tiny", torch.full((4,), 1e-42), torch.full((4,), 3e-42)
    one_late = random(40, 41).bfloat16()
    changed = one_late.clone()
    changed[39, 40] += 1
    yield "one-late-change", one_late, changed


def pairs():
    a, b, expected = {}, {}, {}
    for left, right in itertools.product(DENSE | QUANTIZED, repeat=2):
        name = f"{left}-{right}"
        # 201 values: whole blocks, a short last one, and rows that end within blocks.
        values = random(3, 67)
        tensors_a, values_a, grid_a = stored(name, values, left)
        tensors_b, values_b, grid_b = stored(name, values + 0.05 * random(3, 67), right)
        a |= tensors_a
        b |= tensors_b
        expected[name] = figures(values_a, values_b, grid_a, grid_b)
    for name, left, right in special():
        a[name], b[name] = left, right
        expected[name] = figures(left.double().numpy(), right.double().numpy())
    # float64 cannot tell these apart; as integers they differ.
    expected["int64"] |= {"changed": 5}
    save_file({k: v.contiguous() for k, v in a.items()}, HERE / "a.safetensors")
    save_file({k: v.contiguous() for k, v in b.items()}, HERE / "b.safetensors", metadata={"format": "pt"})
    return expected


def survival():
    """A 4-bit base, a rank-4 update of two sizes, and what merging it by nearest rounding and into float32 leaves."""
    base, merged, expected = {}, {}, {}
    adapter, shape, rank, scaling = {}, (48, 80), 4, 2.0
    for index, (size, encoding) in enumerate([(0.00005, "nf4"), (0.002, "nf4dq"), (0.0005, "f32")]):
        module = f"model.layers.{index}.self_attn.q_proj"
        name = module + ".weight"
        weights = 0.02 * random(*shape)
        tensors, values, grid = stored(name, weights, "nf4dq" if encoding == "nf4dq" else "nf4")
        factor_a = random(rank, shape[1]).float()
        factor_b = (size * random(shape[0], rank)).float()
        update = ((factor_b.double() @ factor_a.double()) * scaling).numpy()
        tensors_b, values_b, _ = stored(name, torch.from_numpy(values + update), encoding)
        base |= tensors
        merged |= tensors_b
        adapter[f"base_model.model.{module}.lora_A.weight"] = factor_a
        adapter[f"base_model.model.{module}.lora_B.weight"] = factor_b
        step = np.repeat(grid["scales"].astype(np.float64), 64)[: weights.numel()] * 2 / 15
        exact = values + update
        expected[name] = {
            "update_kept": float(np.sum((values_b - values) * update) / np.sum(update**2)),
            "update_ratio": float(np.linalg.norm(update) / np.linalg.norm(values)),
            "update_to_step": float(np.sqrt(np.sum(update**2) / np.sum(step**2))),
            "merge_error": float(np.linalg.norm(values_b - exact) / np.linalg.norm(exact)),
        }
    (HERE / "adapter").mkdir(exist_ok=True)
    configuration = {
        "peft_type": "LORA", "r": rank, "lora_alpha": rank * scaling, "target_modules": ["q_proj"],
        "base_model_name_or_path": "base", "bias": "none",
    }
    (HERE / "adapter" / "adapter_config.json").write_text(json.dumps(configuration, indent=2) + "\n")
    save_file(adapter, HERE / "adapter" / "adapter_model.safetensors")
    save_file(base, HERE / "base.safetensors")
    save_file(merged, HERE / "merged.safetensors")
    return expected


if __name__ == "__main__":
    document = {"pairs": pairs(), "survival": survival()}
    (HERE / "expected.json").write_text(json.dumps(document, indent=1) + "\n")
