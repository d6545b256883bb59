"""Merges a LoRA adapter into a bitsandbytes 4-bit checkpoint with PEFT on the CPU, as its users do.

    python peft_merge.py BASE ADAPTER OUTPUT
"""

import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM


def main(base: str, adapter: str, output: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(base, device_map="cpu", dtype=torch.bfloat16)
    merged = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    # transformers 5.23 cannot undo, for a merged 4-bit model, the conversion it makes when it loads one.
    merged.save_pretrained(output, save_original_format=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
