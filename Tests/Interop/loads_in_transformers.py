#!/usr/bin/env python3
"""Loads model directories with transformers and generates a few tokens with each.

    python loads_in_transformers.py MODEL_DIR [MODEL_DIR ...]

4-bit models load through bitsandbytes on the CPU. Prints a line for each model; fails on a missing, unexpected or
mismatched key, on a tensor that stayed uninitialized, and on logits that are not finite.
"""

import argparse
import sys
import warnings
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPT = "The weather today"


def check(directory, tokens):
    model, info = AutoModelForCausalLM.from_pretrained(directory, output_loading_info=True, device_map="cpu")
    problems = {kind: sorted(map(str, keys)) for kind, keys in info.items() if keys}
    if problems:
        raise SystemError("; ".join(f"{kind}: {', '.join(keys[:5])}" for kind, keys in problems.items()))
    model.eval()
    if (directory / "tokenizer_config.json").exists():
        tokenizer = AutoTokenizer.from_pretrained(directory)
        inputs = tokenizer(PROMPT, return_tensors="pt")["input_ids"]
    else:
        tokenizer = None
        inputs = torch.arange(1, 9).reshape(1, -1) % model.config.vocab_size
    with torch.no_grad():
        if not torch.isfinite(model(inputs).logits).all():
            raise SystemError("logits are not finite")
        output = model.generate(inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=tokens, do_sample=False)
    new = output[0, inputs.shape[1] :]
    if len(new) == 0:
        raise SystemError("generated nothing")
    text = repr(tokenizer.decode(new)) if tokenizer else new.tolist()
    bits = "4-bit" if getattr(model, "is_loaded_in_4bit", False) else str(model.dtype).removeprefix("torch.")
    return f"{bits}, {len(model.state_dict())} entries, generated {text}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--tokens", type=int, default=12, help="tokens to generate (default 12)")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    failed = False
    for directory in arguments.models:
        try:
            if not directory.is_dir():
                raise SystemError("not a directory")
            print(f"ok    {directory}: {check(directory, arguments.tokens)}", flush=True)
        except Exception as error:  # every model is tried, whatever happened to the one before
            failed = True
            print(f"FAIL  {directory}: {error}", flush=True)
    sys.exit(1 if failed else 0)


main()
