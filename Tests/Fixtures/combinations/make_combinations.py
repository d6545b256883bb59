#!/usr/bin/env python3
"""Makes adapters with PEFT, and what PEFT's `add_weighted_adapter` makes of them.

    python make_combinations.py        # torch, peft, safetensors

`one`, `two` and `three` are what `save_pretrained` wrote: ranks 4, 4 and 3; the second uses rsLoRA, the third alone has
k_proj, and only the first and the third have up_proj. `expected.safetensors` holds the update of every module
(`get_delta_weight`) for each entry of `cases.json`.
"""

import json
import shutil
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from torch import nn

warnings.filterwarnings("ignore")
HERE = Path(__file__).parent


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = nn.Linear(9, 8, bias=False)
        self.k_proj = nn.Linear(9, 5, bias=False)
        self.up_proj = nn.Linear(8, 11, bias=False)


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Block()])


CONFIGS = {
    "one": LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "up_proj"]),
    "two": LoraConfig(r=4, lora_alpha=3, use_rslora=True, target_modules=["q_proj"]),
    "three": LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj", "k_proj", "up_proj"]),
}


def save(seed, name, config):
    torch.manual_seed(seed)
    model = get_peft_model(Tiny(), config)
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            parameter.data = torch.randn(parameter.shape) * 0.3
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    content = json.loads(path.read_text())
    content["target_modules"].sort()
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def case(adapters, weights, combination, **options):
    return {"adapters": adapters, "weights": weights, "combination": combination, **options}


CASES = [
    case(["one", "two"], [0.7, 0.4], "linear"),
    case(["one", "two"], [1.0, -0.5], "linear"),
    case(["one", "two", "three"], [0.7, 0.4, -1.5], "cat"),
    case(["one", "two"], [0.7, 0.4], "ties", density=0.5),
    case(["one", "two"], [0.7, -0.4], "ties", density=0.3, majority_sign_method="frequency"),
    case(["one", "two"], [0.7, 0.4], "ties", density=1.0),
    case(["one", "two"], [0.7, 0.4], "magnitude_prune", density=0.6),
    case(["one", "two"], [0.7, 0.4], "magnitude_prune", density=0.02),
    case(["one", "two"], [0.7, 0.4], "dare_linear", density=1.0),
    case(["one", "two"], [0.7, 0.4], "dare_ties", density=1.0, majority_sign_method="frequency"),
]


def main():
    for seed, (name, config) in enumerate(CONFIGS.items()):
        save(seed, name, config)
    expected = {}
    for number, entry in enumerate(CASES):
        model = PeftModel.from_pretrained(Tiny(), HERE / "one", adapter_name="one")
        for name in ("two", "three"):
            model.load_adapter(HERE / name, adapter_name=name)
        options = {key: entry[key] for key in ("density", "majority_sign_method") if key in entry}
        model.base_model.add_weighted_adapter(
            entry["adapters"], entry["weights"], "new", combination_type=entry["combination"], **options
        )
        for key, module in model.base_model.model.named_modules():
            if hasattr(module, "get_delta_weight") and "new" in module.lora_A:
                expected[f"{number}.{key}"] = module.get_delta_weight("new").detach().contiguous()
    save_file(expected, HERE / "expected.safetensors")
    (HERE / "cases.json").write_text(json.dumps(CASES, indent=1) + "\n")

    # With rsLoRA in the first adapter PEFT 0.21.2 keeps use_rslora, and its result comes out √r times too large.
    model = PeftModel.from_pretrained(Tiny(), HERE / "two", adapter_name="two")
    model.load_adapter(HERE / "one", adapter_name="one")
    model.base_model.add_weighted_adapter(["two", "one"], [0.4, 0.7], "new", combination_type="linear")
    scaling = model.base_model.model.layers[0].q_proj.scaling["new"]
    assert scaling == 2.0, scaling


main()
