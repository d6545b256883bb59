#!/usr/bin/env python3
"""Compares a merge made by qconv with what PEFT and bitsandbytes make of the same base and adapter.

    python compare_with_peft.py BASE ADAPTER QCONV_OUTPUT --op merge-in-4bit
    python compare_with_peft.py BASE ADAPTER QCONV_OUTPUT --op dequantize-merge --dtype bf16

`merge-in-4bit` is for outputs with "rounding": "nearest" and "scales": "fresh", which follow PEFT's rules; the other
settings are meant to differ. Prints the share of differing codes (4 bit) or values (dense) and the largest difference
of the scales, and fails above 1 in 100,000.

Everything that PEFT's merge leaves alone must be equal bit for bit.
"""

import argparse
import sys
import warnings
from pathlib import Path

import torch
from bitsandbytes import functional as F
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoModelForCausalLM

ALLOWED = 1e-5
DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}


def stored_tensors(directory):
    """Every tensor of a model directory, whatever shard it is in."""
    tensors = {}
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for key in file.keys():
                if key in tensors:
                    raise SystemExit(f"{path}: {key} is in another shard too")
                tensors[key] = file.get_tensor(key)
    if not tensors:
        raise SystemExit(f"{directory}: no safetensors files")
    return tensors


def check_rows(model):
    """bitsandbytes 0.50.2 decodes rows that are no whole number of blocks wrongly on AVX-512."""
    for name, module in model.named_modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is not None and state.shape[-1] % state.blocksize:
            print(f"note: {name}: rows of {state.shape[-1]} are no whole number of blocks; on a CPU with AVX-512 PEFT's result is wrong")


def merged_by_peft(base, adapter, op, dtype):
    model = AutoModelForCausalLM.from_pretrained(base, device_map="cpu", dtype="auto")
    check_rows(model)
    if op == "dequantize-merge":
        if getattr(model, "is_loaded_in_4bit", False):
            model = model.dequantize()
        model = model.to(dtype)
    merged = PeftModel.from_pretrained(model, adapter)
    targets = {
        name.removeprefix("base_model.model.") + ".weight"
        for name, module in merged.named_modules()
        if hasattr(module, "lora_A") and len(module.lora_A)
    }
    return merged.merge_and_unload(), targets


def unpacked(codes):
    codes = codes.contiguous().view(torch.uint8).flatten()
    return torch.stack([codes >> 4, codes & 15], dim=1).flatten()


def absmax(state):
    return F.dequantize_blockwise(state.absmax, state.state2) + state.offset if state.nested else state.absmax


def compare_4bit(model, targets, ours):
    differing = total = 0
    scales = 0.0
    for name in sorted(targets):
        theirs = model.get_parameter(name)
        state = F.QuantState.from_dict(
            {key.removeprefix(name + "."): value for key, value in ours.items() if key.startswith(name + ".")}, device="cpu"
        )
        expected, found = theirs.quant_state, state
        for field in ["shape", "dtype", "blocksize", "quant_type", "nested"]:
            if getattr(expected, field) != getattr(found, field):
                raise SystemExit(f"{name}: {field} is {getattr(found, field)}, PEFT's is {getattr(expected, field)}")
        a, b = unpacked(theirs.data), unpacked(ours[name])
        differing += int((a != b).sum())
        total += a.numel()
        a, b = absmax(expected), absmax(found)
        scales = max(scales, float(((a - b).abs() / a.abs().clamp(min=1e-30)).max()))
    print(f"4-bit codes: {differing} of {total} differ ({differing / total:.2e}); absmax differs by at most {scales:.2e} (relative)")
    return differing / total


def compare_dense(model, targets, ours, dtype):
    differing = total = 0
    largest = 0.0
    for name in sorted(targets):
        theirs, found = model.get_parameter(name).detach(), ours[name]
        if found.dtype != dtype or found.shape != theirs.shape:
            raise SystemExit(f"{name}: found {found.dtype} {list(found.shape)}, PEFT's is {dtype} {list(theirs.shape)}")
        difference = (theirs.double() - found.double()).abs()
        if dtype == torch.float32:
            # The order of additions inside B @ A shows in the last bits of float32; 16-bit values round it away.
            unequal = difference > 1e-6 * theirs.abs().max().double()
        else:
            unequal = difference > 0
        differing += int(unequal.sum())
        total += theirs.numel()
        largest = max(largest, float(difference.max()))
    print(f"values: {differing} of {total} differ ({differing / total:.2e}); largest difference {largest:.2e}")
    return differing / total


def compare_untouched(base, targets, ours):
    count = 0
    for key, value in base.items():
        if any(key == name or key.startswith(name + ".") for name in targets):
            continue
        if key not in ours:
            raise SystemExit(f"{key}: missing in the output")
        if value.dtype != ours[key].dtype or not torch.equal(value.view(torch.uint8), ours[key].view(torch.uint8)):
            raise SystemExit(f"{key}: changed, though the adapter does not concern it")
        count += 1
    print(f"untouched: {count} tensors are identical to the base's")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("base", type=Path)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--op", choices=["merge-in-4bit", "dequantize-merge"], default="merge-in-4bit")
    parser.add_argument("--dtype", choices=DTYPES, default="bf16", help="of dequantize-merge (default bf16)")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    dtype = DTYPES[arguments.dtype]
    ours = stored_tensors(arguments.output)
    model, targets = merged_by_peft(arguments.base, arguments.adapter, arguments.op, dtype)
    missing = sorted(targets - ours.keys())
    if missing:
        raise SystemExit(f"{arguments.output}: {len(missing)} merged weights are missing: {', '.join(missing[:5])}")
    if arguments.op == "merge-in-4bit":
        share = compare_4bit(model, targets, ours)
        compare_untouched(stored_tensors(arguments.base), targets, ours)
    else:
        share = compare_dense(model, targets, ours, dtype)
    if share > ALLOWED:
        sys.exit(f"more than {ALLOWED:.0e} differ")


main()
