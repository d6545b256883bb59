#!/usr/bin/env python3
"""Makes the adapters of this folder with PEFT, and PEFT's own update of every module.

    python make_adapters.py        # torch, transformers, peft, safetensors

Each folder is what `save_pretrained` wrote, plus `expected.safetensors`: `<module>.update` is `get_delta_weight` and
`<module>.scaling` the scaling (float64), after the adapter was loaded again from the folder. `base.json` has the names
and shapes of the model's tensors. Factors are random and not zero; seeds are fixed.

`fields.json` lists the fields of `LoraConfig` with their defaults, `peft-types.json` PEFT's methods and whether it can merge
them, `pattern-keys.json` what PEFT's `get_pattern_key` answers, and `targets.json` what its `check_target_module_exists`
answers.
"""

import dataclasses
import json
import shutil
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, PeftType, get_peft_model
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

warnings.filterwarnings("ignore")
HERE = Path(__file__).parent


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = nn.Linear(24, 24, bias=False)
        self.k_proj = nn.Linear(24, 10, bias=False)
        self.up_proj = nn.Linear(24, 33)
        self.down_proj = nn.Linear(33, 24)


class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Block() for _ in range(3)])


class Odd(nn.Module):
    """Linear layers of odd sizes under names as in Llama."""

    def __init__(self):
        super().__init__()
        self.model = Stack()
        self.lm_head = nn.Linear(24, 7, bias=False)


def tiny_gpt2():
    config = GPT2Config(vocab_size=11, n_positions=8, n_embd=12, n_layer=2, n_head=2)
    return GPT2LMHeadModel(config)


def save(name, make_model, config, dtype=torch.float32, seed=0):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(seed)
    model = get_peft_model(make_model(), config)
    generator = torch.Generator().manual_seed(seed + 1)
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            values = torch.randn(parameter.shape, generator=generator) * 0.1
            parameter.data = values.to(dtype)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    for saved in load_file(folder / "adapter_model.safetensors").values():
        assert saved.dtype == dtype
    # save_pretrained writes sets in the order of their hashes, which changes from run to run.
    path = folder / "adapter_config.json"
    saved_config = json.loads(path.read_text())
    if isinstance(saved_config["target_modules"], list):
        saved_config["target_modules"].sort()
    path.write_text(json.dumps(saved_config, indent=2, sort_keys=True) + "\n")

    torch.manual_seed(seed)
    base = make_model()
    shapes = {key: list(value.shape) for key, value in base.state_dict().items()}
    (folder / "base.json").write_text(json.dumps(shapes, indent=1) + "\n")
    loaded = PeftModel.from_pretrained(base, folder)
    expected = {}
    for key, module in loaded.base_model.model.named_modules():
        if hasattr(module, "get_delta_weight"):
            expected[f"{key}.update"] = module.get_delta_weight("default").contiguous()
            expected[f"{key}.scaling"] = torch.tensor(module.scaling["default"], dtype=torch.float64)
            assert expected[f"{key}.update"].dtype == torch.float32
    assert expected
    save_file(expected, folder / "expected.safetensors")


LINEAR = ["q_proj", "k_proj", "up_proj", "down_proj"]

save("plain", Odd, LoraConfig(r=4, lora_alpha=10, target_modules=LINEAR), seed=1)
save("rslora", Odd, LoraConfig(r=6, lora_alpha=9, use_rslora=True, target_modules=LINEAR), seed=2)
save(
    "patterns",
    Odd,
    LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=LINEAR,
        rank_pattern={
            r"^model\.layers\.0\.q_proj": 2,  # a whole path
            "layers.1.k_proj": 5,  # the end of a path; the dots match anything
            r"model\.layers\.[12]\.(?:up|down)_proj": 3,
            "up_proj": 7,  # for layer 0 only: the pattern before matched layers 1 and 2 first
            "proj": 1,  # for nothing: no component is called so
        },
        alpha_pattern={r".*\.0\..*": 3, "down_proj": 0.5, r"layers\.\d+\.q_proj": 12},
    ),
    seed=3,
)
save(
    "patterns-rslora",
    Odd,
    LoraConfig(
        r=3, lora_alpha=8, use_rslora=True, target_modules=LINEAR, rank_pattern={"q_proj|k_proj": 5}, alpha_pattern={"k_proj": 2}
    ),
    seed=4,
)
save(
    "fan-in-fan-out",
    tiny_gpt2,
    LoraConfig(r=3, lora_alpha=6, fan_in_fan_out=True, target_modules=["c_attn", "c_proj", "c_fc"]),
    seed=5,
)
save(
    "layers-to-transform",
    Odd,
    LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "down_proj"], layers_to_transform=[0, 2], layers_pattern="layers"),
    seed=6,
)
save("regex-targets", Odd, LoraConfig(r=2, lora_alpha=4, target_modules=r".*\.layers\.[01]\.(q|k)_proj|lm_head"), seed=7)
save("float16", Odd, LoraConfig(r=4, lora_alpha=8, target_modules=LINEAR), dtype=torch.float16, seed=8)
save("bfloat16", Odd, LoraConfig(r=4, lora_alpha=8, target_modules=LINEAR), dtype=torch.bfloat16, seed=9)


def default(field):
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
        return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value
    return field.default


fields = {field.name: default(field) for field in dataclasses.fields(LoraConfig)}
(HERE / "fields.json").write_text(json.dumps(fields, indent=1) + "\n")

# Methods that have no layers, or whose layers have no merge of their own or one that only raises.
UNMERGEABLE = {"POLY", "XLORA", "LILY", "SHADOW"}


def can_merge(peft_type):
    tuner = PEFT_TYPE_TO_TUNER_MAPPING[peft_type]
    return hasattr(tuner, "merge_and_unload") and peft_type.value not in UNMERGEABLE


methods = {peft_type.value: can_merge(peft_type) for peft_type in PeftType}
(HERE / "peft-types.json").write_text(json.dumps(methods, indent=1) + "\n")

MODULES = [
    "q_proj",
    "model.layers.0.self_attn.q_proj",
    "model.layers.1.self_attn.q_proj",
    "model.layers.10.self_attn.q_proj",
    "model.layers.1.self_attn.my_q_proj",
    "model.layers.1.mlp.experts.3.up_proj",
    "transformer.h.0.attn.c_attn",
    "h.11.mlp.c_fc",
    "vision_tower.blocks.2.attn.qkv",
    "lm_head",
    "a.b+c.(d)",
    "encoder.réseau.0.fc",
]
KEYS = [
    ["q_proj"],
    ["proj"],
    ["layers.1.self_attn.q_proj"],
    ["^model.layers.1.self_attn.q_proj", "q_proj"],
    [r"model\.layers\.1\..*"],
    [r"layers\.\d\.self_attn\.q_proj", r"layers\.\d+\.self_attn\.q_proj"],
    ["q_proj|up_proj", "c_fc"],
    ["(q|k|v)_proj", "(?:up|down)_proj"],
    [r".*\.attn\..*", "lm_head"],
    [r"[^.]+", "q_proj"],
    [r"self_attn\.[qk]_proj$"],
    ["(?i:Q_PROJ)", "(?P<name>c_fc)"],
    [r"(?!my_)[a-z]_proj", r"\bqkv\b", r"experts\.\d{1,2}\.up_proj"],
    ["", "q_proj"],
    [".*"],
    [r"a\.b\+c\.\(d\)", "r.seau.0.fc"],
    [r"(?!.*layers\.1\.).*q_proj"],
]
(HERE / "pattern-keys.json").write_text(
    json.dumps(
        [{"keys": keys, "module": module, "expected": get_pattern_key(keys, module)} for keys in KEYS for module in MODULES],
        indent=1,
        ensure_ascii=False,
    )
    + "\n"
)

TARGETS = [
    {"target_modules": ["q_proj"]},
    {"target_modules": ["q_proj", "up_proj", "c_attn"], "exclude_modules": ["c_attn", "layers.1.self_attn.q_proj"]},
    {"target_modules": ["model.layers.1.self_attn.q_proj"], "layers_to_transform": [0]},
    {"target_modules": ["q_proj", "up_proj", "c_fc", "qkv"], "layers_to_transform": [1, 11]},
    {"target_modules": ["q_proj", "up_proj", "c_fc", "qkv"], "layers_to_transform": 3},
    {"target_modules": ["q_proj", "c_attn", "c_fc"], "layers_to_transform": [0, 11], "layers_pattern": "h"},
    {"target_modules": ["q_proj", "up_proj", "c_fc"], "layers_to_transform": [0, 1, 11], "layers_pattern": ["layers", "h"]},
    {"target_modules": ["up_proj"], "layers_to_transform": [3], "layers_pattern": ["experts"]},
    {"target_modules": ["q_proj"], "layers_to_transform": []},
    {"target_modules": ".*self_attn.*"},
    {"target_modules": "q_proj|lm_head"},
    {"target_modules": r"model\.layers\.(?:0|10)\..*", "exclude_modules": r".*\.0\..*"},
    {"target_modules": ["q_proj"], "exclude_modules": r"model\..*"},
    {"target_modules": ["q_proj", "lm_head", "up_proj"], "modules_to_save": ["lm_head", "experts"]},
    {"target_modules": ["q_proj", "lm_head", "c_fc"], "modules_to_save": ["head", "layers.1.self_attn", "h.11.mlp.c_fc"]},
    {"target_modules": r".*", "modules_to_save": ["q_proj", "h", "vision_tower.blocks"]},
]
checked = []
for choice in TARGETS:
    for module in MODULES:
        expected = bool(check_target_module_exists(LoraConfig(**choice), module))
        checked.append({"config": choice, "module": module, "expected": expected})
(HERE / "targets.json").write_text(json.dumps(checked, indent=1, ensure_ascii=False) + "\n")
