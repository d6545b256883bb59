#!/usr/bin/env python3
"""Makes PyTorch files that must be read, and hostile or broken ones that must be refused.

    python make_pickles.py        # torch, safetensors

`good/NAME.bin` was written by `torch.save` (or repacked as its name tells) and holds the tensors of
`good/EXPECTED.safetensors`; `good.json` maps the names. `corpus/*.json` list the others: the bytes (base64), and what
the message about them must contain. Nothing in the corpus is ever loaded here. `model/` and `adapter/` hold one model and one
adapter in every form.
"""

import base64
import io
import json
import pickle
import shutil
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
GOOD = HERE / "good"

# ---------------------------------------------------------------------------------------------------------------------
# Good files


def numbers(*shape, dtype=torch.float32):
    count = int(torch.tensor(shape).prod()) if shape else 1
    return (torch.arange(count) * 0.37 - 1.5).reshape(shape).to(dtype)


def dtypes(kinds):
    tensors = {str(kind).removeprefix("torch."): numbers(2, 3).abs().to(kind) for kind in kinds}
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros(0, 3)
    return tensors


# Types with a storage class of their own, and those whose storages are untyped: PyTorch cannot read the latter back from
# its older format.
TYPED = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16]
TYPED += [torch.int8, torch.uint8, torch.bool, torch.complex64]
UNTYPED = [torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2]


def views():
    base = numbers(6, 8)
    cube = numbers(2, 3, 4, dtype=torch.bfloat16)
    return {
        "whole": base,
        "transposed": base.t(),
        "rows": base[2:4],
        "columns": base[:, 3:5],
        "every_other": base[::2, 1::3],
        "column": base[:, 2],
        "last": base[5, 7],
        "permuted": cube.permute(2, 0, 1),
        "cube": cube,
        "one_row": base[3:4].t(),
        "nothing": base[:, 4:4],
    }


class Named(torch.Tensor):
    pass


def parameters():
    state = OrderedDict()
    state["plain"] = numbers(3, 2)
    state["parameter"] = torch.nn.Parameter(numbers(2, 2, dtype=torch.bfloat16))
    marked = torch.nn.Parameter(numbers(4))
    marked.is_expert = True
    state["marked"] = marked
    noted = numbers(5)
    noted.note = "an attribute"
    state["noted"] = noted
    # What Module.state_dict() adds; keys of any kind may stand in it.
    state._metadata = OrderedDict([("", {"version": 1}), ("layer", {0: "zero", 2.5: None, "deep": [(), [], (1, (2,))]})])
    return state


def saved(tensors, **options):
    buffer = io.BytesIO()
    torch.save(tensors, buffer, **options)
    return buffer.getvalue()


def repacked(data, method=zipfile.ZIP_STORED, folder=False, prefix="archive/"):
    """The same records in an archive that another program wrote."""
    source = zipfile.ZipFile(io.BytesIO(data))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as target:
        if folder:
            target.writestr(zipfile.ZipInfo(prefix, FIXED_DATE), b"")
        for record in source.infolist():
            info = zipfile.ZipInfo(record.filename.replace("archive/", prefix, 1), FIXED_DATE)
            info.compress_type = method
            target.writestr(info, source.read(record))
    return buffer.getvalue()


FIXED_DATE = (1980, 1, 1, 0, 0, 0)


def zip64(data):
    """Every size and offset in zip64's fields."""
    limits = zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT
    zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = 0, 1
    try:
        return repacked(data)
    finally:
        zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = limits


def python2():
    """A file as Python 2 wrote it: byte strings for text, OrderedDict from a list of pairs."""
    storage = b"(U\x07storagectorch\nFloatStorage\nU\x01aU\x03cpuK\x06Nt" + b"Q"
    tensor = b"ctorch._utils\n_rebuild_tensor\n(" + storage + b"K\x00K\x02K\x03\x86K\x03K\x01\x86tR"
    body = b"\x80\x02ccollections\nOrderedDict\n](](U\x06weight" + tensor + b"ee\x85R."
    return legacy(body, ["a"], [(6, struct.pack("<6f", *range(6)))])


def legacy_view():
    """A storage that is a view of another, as before PyTorch 0.4."""
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0aX\x03\0\0\0cpuK\x06X\x01\0\0\0bK\x02K\x03\x87tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor\n(" + storage + b"K\x01K\x02\x85K\x01\x85tR"
    return legacy(b"\x80\x02}X\x01\0\0\0w" + tensor + b"s.", ["a"], [(6, struct.pack("<6f", *range(6)))])


MAGIC = 0x1950A86A20F9469CFC6C
MACHINE = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def legacy(body, keys, storages, machine=MACHINE, magic=MAGIC):
    out = b"".join(pickle.dumps(value, 2) for value in (magic, 1001, machine)) + body + pickle.dumps(keys, 2)
    return out + b"".join(struct.pack("<q", count) + data for count, data in storages)


def make_good():
    shutil.rmtree(GOOD, ignore_errors=True)
    GOOD.mkdir()
    index = {}

    def keep(name, data, expected):
        (GOOD / f"{name}.bin").write_bytes(data)
        index[name] = expected

    groups = {"dtypes": dtypes(TYPED), "new-dtypes": dtypes(UNTYPED), "views": views(), "parameters": parameters()}
    for name, tensors in groups.items():
        plain = {key: value.detach().clone().contiguous().as_subclass(torch.Tensor) for key, value in tensors.items()}
        save_file(plain, GOOD / f"{name}.safetensors")
        zipped = saved(tensors)
        keep(f"{name}-zip", zipped, name)
        if name != "new-dtypes":
            keep(f"{name}-legacy", saved(tensors, _use_new_zipfile_serialization=False), name)
            keep(f"{name}-deflated", repacked(zipped, zipfile.ZIP_DEFLATED, folder=True), name)
    for protocol in (3, 4, 5):
        keep(f"parameters-protocol-{protocol}", saved(parameters(), pickle_protocol=protocol), "parameters")
    keep("views-zip64", zip64(saved(views())), "views")
    keep("views-repacked", repacked(saved(views()), prefix="model/"), "views")
    torch.serialization.set_crc32_options(False)
    keep("views-no-checksums", saved(views()), "views")
    torch.serialization.set_crc32_options(True)
    save_file({"weight": torch.arange(6.0).reshape(2, 3)}, GOOD / "python2.safetensors")
    keep("python2-legacy", python2(), "python2")
    save_file({"w": torch.arange(6.0)[3:5].clone()}, GOOD / "legacy-view.safetensors")
    keep("storage-view-legacy", legacy_view(), "legacy-view")
    for name in index:  # torch agrees, where it may load it
        if name not in ("python2-legacy", "storage-view-legacy") and "protocol" not in name:
            torch.load(GOOD / f"{name}.bin", weights_only=True)
    (HERE / "good.json").write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")


def make_model():
    """One model and one adapter in every form: conversions of all forms must give the same bytes."""
    generator = torch.Generator().manual_seed(5)
    random = lambda *shape: torch.randn(shape, generator=generator)
    base = {
        "model.embed_tokens.weight": random(11, 8).bfloat16(),
        "model.layers.0.q_proj.weight": random(8, 8).bfloat16(),
        "model.layers.0.v_proj.weight": random(8, 8).bfloat16().t(),
        "lm_head.weight": random(11, 8).bfloat16(),
    }
    config = {"model_type": "llama", "torch_dtype": "bfloat16"}
    adapter = {}
    for module in ("q_proj", "v_proj"):
        adapter[f"base_model.model.model.layers.0.{module}.lora_A.weight"] = random(2, 8)
        adapter[f"base_model.model.model.layers.0.{module}.lora_B.weight"] = random(2, 8).t()
    adapter_config = {"peft_type": "LORA", "r": 2, "lora_alpha": 3, "target_modules": ["q_proj", "v_proj"]}

    def folder(name, configuration, content):
        path = HERE / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        (path / configuration).write_text(json.dumps(content) + "\n")
        return path

    contiguous = lambda tensors: {name: tensor.contiguous() for name, tensor in tensors.items()}
    path = folder("model/safetensors", "config.json", config)
    save_file(contiguous(base), path / "model.safetensors")
    path = folder("model/one-file", "config.json", config)
    torch.save(base, path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    path = folder("model/shards", "config.json", config)
    names = list(base)
    shards = {"pytorch_model-00001-of-00002.bin": names[:2], "pytorch_model-00002-of-00002.bin": names[2:]}
    for shard, members in shards.items():
        torch.save({name: base[name] for name in members}, path / shard)
    weight_map = {name: shard for shard, members in shards.items() for name in members}
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (path / "pytorch_model.bin.index.json").write_text(json.dumps(index) + "\n")
    path = folder("adapter/safetensors", "adapter_config.json", adapter_config)
    save_file(contiguous(adapter), path / "adapter_model.safetensors")
    path = folder("adapter/zip", "adapter_config.json", adapter_config)
    torch.save(adapter, path / "adapter_model.bin")
    path = folder("adapter/legacy", "adapter_config.json", adapter_config)
    torch.save(adapter, path / "adapter_model.pt", _use_new_zipfile_serialization=False)


# ---------------------------------------------------------------------------------------------------------------------
# The corpus

corpus = []


def refuse(name, data, *needles):
    corpus.append({"name": name, "needles": list(needles), "bytes": base64.b64encode(data).decode()})


def archive(body, records=(), method=zipfile.ZIP_STORED, order=b"little", name="archive"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as target:
        entries = [(f"{name}/data.pkl", body), (f"{name}/byteorder", order)]
        for path, data in entries + [(f"{name}/{key}", data) for key, data in records]:
            if data is not None:
                info = zipfile.ZipInfo(path, FIXED_DATE)
                info.compress_type = method
                target.writestr(info, data)
    return buffer.getvalue()


def text(string):
    return b"X" + struct.pack("<I", len(string)) + string.encode()


def long4(value):
    data = pickle.encode_long(value)
    return b"\x8a" + bytes([len(data)]) + data


def storage(count=6, kind="torch\nFloatStorage", key="0"):
    return b"(" + text("storage") + b"c" + kind.encode() + b"\n" + text(key) + text("cpu") + long4(count) + b"tQ"


def numbers_tuple(values):
    return b"(" + b"".join(long4(value) for value in values) + b"t"


HOOKS = b"ccollections\nOrderedDict\n)R"


def tensor(storage=storage(), offset=0, shape=(2, 3), stride=(3, 1), rest=b"\x89" + HOOKS):
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + long4(offset) + numbers_tuple(shape)
        + numbers_tuple(stride) + rest + b"tR"
    )


def state(*members):
    return b"\x80\x02}(" + b"".join(text(name) + value for name, value in members) + b"u."


DATA = [("data/0", struct.pack("<6f", *range(6)))]


class Call:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class WithState:
    def __init__(self, value):
        self.value = value


def code():
    import os
    import subprocess

    payload = "true"
    for protocol in range(6):
        for label, value, needle in [
            ("os-system", Call(os.system, payload), "posix.system"),
            ("eval", Call(eval, "1"), "__builtin__.eval" if protocol < 3 else "builtins.eval"),
            ("nested", {"a": [(Call(exec, "1"),)]}, "__builtin__.exec" if protocol < 3 else "builtins.exec"),
        ]:
            # The older protocols have text instructions of their own, of which none is read.
            if label == "nested" and protocol < 2:
                needle = "instruction DICT" if protocol == 0 else needle
            refuse(f"{label}-protocol-{protocol}", archive(pickle.dumps(value, protocol)), needle)
    refuse("popen", archive(pickle.dumps(Call(subprocess.Popen, ["true"]), 2)), ".Popen")
    refuse("os-system-legacy", legacy(pickle.dumps({"a": Call(os.system, payload)}, 2), [], []), "posix.system")
    refuse("first-pickle-legacy", pickle.dumps(Call(os.system, payload), 2) + b"x" * 64, "posix.system")
    refuse("machine-legacy", b"".join(pickle.dumps(value, 2) for value in (MAGIC, 1001, Call(os.system, "true"))), "posix.system")
    refuse("keys-legacy", legacy(pickle.dumps({}, 2), Call(os.system, payload), []), "posix.system")
    for path in [
        "os\nsystem", "posix\nsystem", "nt\nsystem", "builtins\neval", "builtins\ngetattr", "__builtin__\neval",
        "__main__\nx", "_codecs\nencode", "codecs\nencode", "operator\nattrgetter", "functools\npartial",
        "importlib\nimport_module", "torch.hub\nload", "torch\nload", "torch.serialization\nload",
        "torch.storage\n_load_from_bytes", "torch.jit._script\nload", "numpy.core.multiarray\n_reconstruct",
        "collections\nCounter", "collections\ndefaultdict", "copyreg\n_reconstructor", "copy_reg\n_reconstructor",
        "torch._utils\n_rebuild_sparse_tensor", "torch._utils\n_rebuild_qtensor", "torch\ndevice",
        "torch._utils\n_rebuild_tensor_v2.__globals__", "torch\nFloatStorage.__init__", "torch\ntorch.float32",
        "pip\nmain", "webbrowser\nopen", "pickle\nloads", "io\nopen", "sys\nexit", "bitsandbytes.nn.modules\nParams4bit",
        "", "\nOrderedDict", "collections.OrderedDict\n",
    ]:
        module, _, name = path.partition("\n")
        refuse(f"global {module}.{name}", archive(b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"."), f"{module}.{name}")
        strings = b"\x8c" + bytes([len(module)]) + module.encode() + b"\x8c" + bytes([len(name)]) + name.encode()
        refuse(f"stack-global {module}.{name}", archive(b"\x80\x04" + strings + b"\x93."), f"{module}.{name}")
    shorts = lambda *names: b"".join(b"\x8c" + bytes([len(name)]) + name.encode() for name in names)
    refuse("stack-global-from-memo", archive(b"\x80\x04" + shorts("system") + b"\x94" + shorts("os") + b"h\x00\x93."), "os.system")
    refuse("stack-global-numbers", archive(b"\x80\x04K\x01K\x02\x93."), "STACK_GLOBAL")
    refuse("stack-global-tuple", archive(b"\x80\x04)" + shorts("system") + b"\x93."), "STACK_GLOBAL")
    refuse("stack-global-bytes", archive(b"\x80\x04C\x02os" + shorts("system") + b"\x93."), "STACK_GLOBAL")


def opcodes():
    # Every instruction beside those of tensors, with plausible operands.
    samples = {
        "POP": b"N0", "POP_MARK": b"(N1", "DUP": b"N2", "FLOAT": b"F1.5\n", "INT": b"I1\n", "LONG": b"L1L\n",
        "PERSID": b"P0\n", "STRING": b"S'a'\n", "UNICODE": b"Va\n", "DICT": b"(d", "GET": b"g0\n",
        "INST": b"(ios\nsystem\n", "LIST": b"(l", "OBJ": b"(cbuiltins\neval\no", "PUT": b"Np0\n",
        "NEWOBJ": b"ctorch\nTensor\n)\x81", "EXT1": b"\x82\x01", "EXT2": b"\x83\x01\x00", "EXT4": b"\x84\x01\0\0\0",
        "EMPTY_SET": b"\x8f", "ADDITEMS": b"](N\x90", "FROZENSET": b"(N\x91", "NEWOBJ_EX": b"ctorch\nTensor\n)}\x92",
        "BYTEARRAY8": b"\x96" + struct.pack("<Q", 1) + b"a", "NEXT_BUFFER": b"\x97", "READONLY_BUFFER": b"N\x98",
    }
    for name, sample in samples.items():
        needle = "builtins.eval" if name == "OBJ" else f"instruction {name}"
        refuse(f"opcode {name}", archive(b"\x80\x04" + sample + b"."), needle)
    refuse("opcode OBJ of a tensor", archive(b"\x80\x02(ctorch\nTensor\no."), "instruction OBJ")
    refuse("opcode unknown", archive(b"\x80\x02\xff."), "255 is no instruction")
    refuse("protocol 6", archive(b"\x80\x06}."), "protocol 6")
    refuse("protocol 0", archive(b"\x80\x00}."), "protocol 0")
    # Instructions that are read, on objects that they are not for.
    refuse("build-dict", archive(b"\x80\x02}}" + text("__class__") + b"Nsb."), "BUILD", "a dictionary")
    refuse("build-ordered-dict", archive(b"\x80\x02" + HOOKS + b"}" + text("__class__") + b"Nsb."), "BUILD", "__class__")
    refuse("build-two-attributes", archive(b"\x80\x02" + HOOKS + b"}(" + text("_metadata") + b"N" + text("update") + b"Nub."), "BUILD", "update")
    refuse("build-number-attribute", archive(b"\x80\x02" + HOOKS + b"}K\x01Nsb."), "BUILD", "an integer")
    refuse("build-tuple", archive(b"\x80\x02" + HOOKS + b"N}\x86b."), "BUILD", "a tuple")
    refuse("build-tensor", archive(state(("w", tensor() + b"}b")), DATA), "BUILD", "a tensor")
    refuse("build-class", archive(b"\x80\x02ctorch\nTensor\n}b."), "BUILD")
    refuse("build-list", archive(b"\x80\x02]}b."), "BUILD", "a list")
    refuse("reduce-string", archive(b"\x80\x02" + text("os.system") + b")R."), "REDUCE", "a string")
    refuse("reduce-storage-class", archive(b"\x80\x02ctorch\nFloatStorage\nK\x05\x85R."), "REDUCE", "a class")
    refuse("reduce-dtype", archive(b"\x80\x02ctorch\nfloat32\n)R."), "REDUCE")
    refuse("reduce-tensor", archive(b"\x80\x02ctorch\nTensor\n)R."), "REDUCE")
    refuse("reduce-no-tuple", archive(b"\x80\x02ctorch\nSize\nNR."), "arguments are None")
    refuse("reduce-size-of-text", archive(b"\x80\x02ctorch\nSize\n" + text("abc") + b"\x85R."), "REDUCE", "torch.Size")
    refuse("ordered-dict-of-numbers", archive(b"\x80\x02ccollections\nOrderedDict\n](K\x01K\x02e\x85R."), "REDUCE", "pairs")
    refuse("ordered-dict-of-text", archive(b"\x80\x02ccollections\nOrderedDict\n" + text("ab") + b"\x85R."), "REDUCE", "pairs")
    refuse("rebuild-from-type-of-eval", archive(b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cbuiltins\neval\nctorch\nTensor\n)NtR."), "builtins.eval")
    refuse("rebuild-from-type-of-itself", archive(b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._tensor\n_rebuild_from_type_v2\nctorch\nTensor\n)NtR."), "_rebuild_from_type_v2")
    refuse("rebuild-parameter-of-text", archive(b"\x80\x02ctorch._utils\n_rebuild_parameter\n" + text("x") + b"\x89N\x87R."), "_rebuild_parameter")
    refuse("rebuild-hooks", archive(state(("w", tensor(rest=b"\x89}" + text("k") + b"Ns"))), DATA), "_rebuild_tensor_v2")
    refuse("rebuild-without-arguments", archive(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R."), "_rebuild_tensor_v2")
    refuse("append-to-dict", archive(b"\x80\x02}Na."), "APPEND", "a dictionary")
    refuse("appends-to-tuple", archive(b"\x80\x02)(Ne."), "APPENDS", "a tuple")
    refuse("setitem-of-list", archive(b"\x80\x02]K\x00Ns."), "SETITEM", "a list")
    refuse("setitems-of-class", archive(b"\x80\x02ctorch\nTensor\n(" + text("x") + b"Nu."), "SETITEMS")
    refuse("setitems-odd", archive(b"\x80\x02}(Nu."), "a key has no value")
    refuse("persistent-id-module", archive(b"\x80\x02(" + text("module") + b"ctorch\nTensor\n" + text("x.py") + text("src") + b"tQ."), "BINPERSID")
    refuse("persistent-id-text", archive(b"\x80\x02" + text("0") + b"Q."), "BINPERSID")
    refuse("persistent-id-first-pickle", b"\x80\x02" + storage() + b"." + b"x" * 64, "BINPERSID")


def structure():
    refuse("empty-pickle", archive(b""), "truncated")
    refuse("no-stop", archive(b"\x80\x02}"), "truncated")
    refuse("stop-without-value", archive(b"\x80\x02."), "operand")
    refuse("left-over-values", archive(b"\x80\x02}}."), "left over")
    refuse("left-over-mark", archive(b"\x80\x02(}."), "left over")
    refuse("pop-below-mark", archive(b"\x80\x02N(\x85."), "operand")
    refuse("no-mark", archive(b"\x80\x02Nt."), "MARK")
    refuse("memo-unknown", archive(b"\x80\x02h\x07."), "remembered under 7")
    refuse("memo-empty-stack", archive(b"\x80\x02q\x00."), "operand")
    refuse("invalid-utf8", archive(b"\x80\x02X\x02\0\0\0\xff\xfe."), "UTF-8")
    refuse("surrogate", archive(b"\x80\x02X\x03\0\0\0\xed\xa0\x80."), "UTF-8")
    refuse("global-without-end", archive(b"\x80\x02c" + b"a" * 5000 + b"\nb\n."), "longer than")
    for label, opcode, width in [("BINUNICODE", b"X", 4), ("BINUNICODE8", b"\x8d", 8), ("BINBYTES8", b"\x8e", 8), ("BINBYTES", b"B", 4), ("BINSTRING", b"T", 4), ("LONG4", b"\x8b", 4)]:
        refuse(f"gigantic {label}", archive(b"\x80\x04" + opcode + b"\xff" * width + b"a."), "truncated")
        almost = (1 << (8 * width - 1)) - 1
        refuse(f"huge {label}", archive(b"\x80\x04" + opcode + almost.to_bytes(width, "little") + b"a."), "truncated")
    refuse("gigantic-legacy-text", legacy(b"\x80\x02X\xff\xff\xff\xff", [], []), "truncated")
    refuse("not-a-dictionary", archive(b"\x80\x02].", DATA), "a list")
    refuse("a-tensor-alone", archive(b"\x80\x02" + tensor() + b".", DATA), "a tensor where a dictionary")
    refuse("number-key", archive(b"\x80\x02}K\x07" + tensor() + b"s.", DATA), "a key of the dictionary is an integer")
    refuse("wrapped", archive(state(("state_dict", b"}" + text("w") + tensor() + b"s"), ("epoch", b"K\x03")), DATA), "\"state_dict\" is a dictionary")
    refuse("number-value", archive(state(("w", tensor()), ("step", b"K\x03")), DATA), "\"step\" is an integer")
    refuse("twice", archive(state(("w", tensor()), ("w", tensor())), DATA), "twice")
    # Bombs: what would be exponential or endless elsewhere.
    bomb = b"\x80\x02)q\x00" + b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(200))
    refuse("billion-laughs", archive(bomb + b"}."), "left over")
    laughs = b"\x80\x02)q\x00" + b"".join(b"(" + b"h\x00" * 50 + b"tq\x00" for _ in range(100))
    refuse("billion-laughs-shape", archive(b"\x80\x02}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage() + b"K\x00" + laughs[2:] + b"."), "left over")
    pack = lambda body: archive(b"\x80\x02" + body, method=zipfile.ZIP_DEFLATED)
    refuse("many-values", pack(b"N" * 3_000_000), "more than 2097152 values")
    refuse("many-lists", pack(b"]" * 3_000_000), "more than 2097152 values")
    refuse("deep-tuples", pack(b")" + b"\x85" * 3_000_000), "more than 2097152 values")
    refuse("deep-lists", pack(b"]q\x00" + b"]h\x00ah\x00" * 600_000), "truncated")
    refuse("deep-marks", pack(b"(" * 3_000_000), "more than 2097152 values")
    refuse("memo-bomb", pack(b"N" + b"\x94" * 3_000_000), "more than 2097152 values")
    refuse("memo-far", pack(b"\x80\x02Nr\xff\xff\xff\xff0."), "instruction POP")
    refuse("tensor-bomb", pack(b"(" + b"ctorch._utils\n_rebuild_tensor_v2\nq\x00" + b"(" + storage() + b"K\x00" + numbers_tuple([1] * 64) * 2 + b"\x89Ntq\x01" + b"R0" [:1] + b"h\x00h\x01R" * 300_000), "more than 2097152 values")
    refuse("circle", archive(b"\x80\x02]q\x00h\x00a."), "a list where")
    refuse("circle-in-a-dictionary", archive(b"\x80\x02}q\x00" + text("w") + b"h\x00s."), "\"w\" is a dictionary")


def tensors():
    def bad(name, needle, records=DATA, **options):
        refuse(name, archive(state(("w", tensor(**options))), records), needle)

    bad("storage-missing", "no archive/data/1", storage=storage(key="1"))
    bad("storage-escapes", "no archive/data/../../x", storage=storage(key="../../x"))
    bad("storage-too-small", "should have 28 bytes", storage=storage(count=7))
    bad("storage-too-large", "should have 20 bytes", storage=storage(count=5), shape=(1, 3))
    bad("storage-gigantic", "should have", storage=storage(count=1 << 60))
    bad("storage-overflow", "no possible size", storage=storage(count=1 << 62))
    bad("storage-negative", "no possible size", storage=storage(count=-1))
    bad("storage-beyond-64-bits", "BINPERSID", storage=storage(count=1 << 80))
    bad("storage-type-quantized", "torch.QInt8Storage", storage=storage(kind="torch\nQInt8Storage"))
    bad("storage-type-complex128", "torch.ComplexDoubleStorage", storage=storage(kind="torch\nComplexDoubleStorage"))
    bad("storage-type-function", "BINPERSID", storage=storage(kind="torch._utils\n_rebuild_tensor_v2"))
    bad("storage-untyped", "_rebuild_tensor_v2", storage=storage(count=24, kind="torch.storage\nUntypedStorage"))
    bad("view-beyond", "\"w\": [2, 3] with strides [4, 1]", stride=(4, 1))
    bad("view-offset-beyond", "goes beyond", offset=1)
    bad("view-offset-gigantic", "larger than any file", offset=(1 << 63) - 1)
    bad("view-stride-gigantic", "larger than any file", stride=(1 << 62, 1 << 62))
    bad("view-stride-overflow", "larger than any file", shape=(1, 3), stride=(1, 1 << 62))
    bad("view-negative-stride", "negative", stride=(3, -1))
    bad("view-negative-size", "negative", shape=(-2, 3))
    bad("view-negative-offset", "negative", offset=-1)
    bad("view-expanded", "more than the 24", shape=(1000, 1000), stride=(0, 0))
    bad("view-gigantic", "more than the 24", shape=(1 << 40, 1), stride=(0, 0))
    bad("view-overflowing", "larger than any file", shape=(1 << 40, 1 << 40), stride=(0, 0))
    bad("view-strides-missing", "2 sizes and 1 strides", stride=(1,))
    bad("view-many-dimensions", "at most 64", shape=(1,) * 65, stride=(1,) * 65)
    bad("view-size-beyond-64-bits", "_rebuild_tensor_v2", shape=(1 << 70, 1))
    bad("view-conjugated", "conj", rest=b"\x89" + HOOKS + b"}" + text("conj") + b"\x88s")
    v3 = lambda kind: b"ctorch._utils\n_rebuild_tensor_v3\n(" + storage(count=24, kind="torch.storage\nUntypedStorage") + b"K\x00K\x06\x85K\x01\x85\x89Nctorch\n" + kind + b"\ntR"
    refuse("v3-complex128", archive(state(("w", v3(b"complex128"))), DATA), "torch.complex128")
    refuse("v3-float4", archive(state(("w", v3(b"float4_e2m1fn_x2"))), DATA), "torch.float4_e2m1fn_x2")
    refuse("v3-beyond", archive(state(("w", v3(b"float64"))), DATA), "more than the 24")


def containers():
    good = archive(state(("w", tensor())), DATA)
    refuse("empty-file", b"", "is empty")
    refuse("text-file", b"hello, world\n" * 10, "no file that torch.save wrote")
    refuse("lfs-pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "git lfs pull")
    refuse("safetensors-file", struct.pack("<Q", 2) + b"{}", "under another name")
    refuse("tar-file", b"storages".ljust(257, b"\0") + b"ustar\x0000" + b"\0" * 700, "tar archive")
    refuse("torchscript", archive(b"\x80\x02}.", [("constants.pkl", b"\x80\x02).")]), "TorchScript")
    refuse("big-endian", archive(state(("w", tensor())), DATA, order=b"big"), "big-endian")
    refuse("odd-endian", archive(state(("w", tensor())), DATA, order=b"middle"), "byteorder")
    refuse("long-byteorder", archive(b"\x80\x02}.", order=b"l" * 100), "byteorder")
    refuse("no-pickle", archive(None, DATA), "data.pkl")
    refuse("pickle-in-a-folder", archive(b"\x80\x02}.", name="a/b"), "data.pkl")
    two = io.BytesIO(archive(b"\x80\x02}."))
    with zipfile.ZipFile(two, "a") as target:
        target.writestr(zipfile.ZipInfo("other/data.pkl", FIXED_DATE), b"\x80\x02}.")
    refuse("two-pickles", two.getvalue(), "several pickles")
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as target:
        for body in (b"\x80\x02}.", b"\x80\x02]."):
            target.writestr(zipfile.ZipInfo("archive/data.pkl", FIXED_DATE), body)
    refuse("duplicate-member", twice.getvalue(), "archive/data.pkl twice")
    for cut in (10, 30, 100, len(good) - 40, len(good) - 1):
        refuse(f"truncated-at-{cut}", good[:cut], "truncated")
    refuse("trailing-bytes", good + b"x", "truncated")

    end = good.rindex(b"PK\x05\x06")
    directory = struct.unpack_from("<I", good, end + 16)[0]

    def patched(*changes, source=good):
        data = bytearray(source)
        for position, change in changes:
            data[position : position + len(change)] = change
        return bytes(data)

    refuse("directory-beyond", patched((end + 16, b"\xff\xff\xff\x7f")), "outside the file")
    refuse("directory-gigantic", patched((end + 12, b"\xff\xff\xff\x7f")), "outside the file")
    refuse("directory-count", patched((end + 8, b"\x07\0\x07\0")), "claims 7")
    refuse("several-disks", patched((end + 4, b"\x01\0")), "several disks")
    refuse("encrypted", patched((directory + 8, b"\x01\0")), "encrypted")
    refuse("method-lzma", patched((directory + 10, b"\x0e\0")), "method 14")
    refuse("member-beyond", patched((directory + 42, b"\xff\xff\xff\x0f")), "outside the file")
    refuse("member-size-beyond", patched((directory + 20, b"\xff\xff\xff\x0f" * 2)), "outside the file")
    refuse("member-sizes-differ", patched((directory + 24, b"\x01\0\0\0")), "stored in")
    refuse("member-name-differs", patched((30, b"A")), "another name")
    refuse("member-name-invalid", patched((directory + 46, b"\xff")), "UTF-8")
    refuse("member-no-header", patched((0, b"PK\x03\x05")), "no valid header")
    refuse("member-zip64-missing", patched((directory + 20, b"\xff" * 8)), "zip64")
    refuse("wrong-checksum", patched((directory + 16, b"\1\2\3\4")), "data.pkl is damaged")
    second = good.index(b"PK\x01\x02", directory + 4)
    third = good.index(b"PK\x01\x02", second + 4)
    last = struct.unpack_from("<I", good, third + 42)[0]
    refuse("overlap", patched((directory + 20, struct.pack("<II", last, last))), "overlap")

    deflated = archive(state(("w", tensor())), [("data/0", b"\0" * 24)], method=zipfile.ZIP_DEFLATED)
    end = deflated.rindex(b"PK\x05\x06")
    directory = struct.unpack_from("<I", deflated, end + 16)[0]
    change = lambda *changes: patched(*changes, source=deflated)
    refuse("deflated-size-bomb", change((directory + 24, b"\0\0\0\x40")), "cannot yield")
    refuse("deflated-size-wrong", change((directory + 24, b"\x10\x01\0\0")), "does not decompress")
    start = 30 + len("archive/data.pkl")
    refuse("deflated-damaged", change((start, b"\xff\xff")), "damaged")
    packed = zip64(good)
    end = packed.rindex(b"PK\x06\x06")
    refuse("zip64-contradiction", patched((end + 24, struct.pack("<QQ", 2, 2)), (packed.rindex(b"PK\x05\x06") + 8, struct.pack("<HH", 3, 3)), source=packed), "contradicts")
    refuse("zip64-offset-gigantic", patched((end + 48, b"\xff" * 8), source=packed), "zip64")
    refuse("zip64-locator-beyond", patched((packed.rindex(b"PK\x06\x07") + 8, b"\xff" * 7 + b"\x7f"), source=packed), "outside the file")

    data = [(6, struct.pack("<6f", *range(6)))]
    body = pickle.dumps
    w = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x06NtQ"
    whole = state(("w", tensor(storage=w)))
    refuse("legacy-big-endian", legacy(whole, ["0"], data, machine=dict(MACHINE, little_endian=False)), "big-endian")
    refuse("legacy-wrong-magic", legacy(whole, ["0"], data, magic=MAGIC + 1), "no file that torch.save wrote")
    refuse("legacy-truncated-data", legacy(whole, ["0"], data)[:-5], "5 bytes are missing")
    refuse("legacy-truncated-count", legacy(whole, ["0"], data)[:-28], "4 bytes are missing")
    refuse("legacy-trailing", legacy(whole, ["0"], data) + b"x", "1 bytes behind")
    refuse("legacy-storage-unlisted", legacy(whole, [], []), "not in the file")
    refuse("legacy-storage-unused", legacy(whole, ["0", "1"], data * 2), "belongs to no tensor")
    refuse("legacy-storage-twice", legacy(whole, ["0", "0"], data * 2), "listed twice")
    refuse("legacy-storage-count", legacy(whole, ["0"], [(7, data[0][1])]), "should have 6 elements")
    refuse("legacy-storage-count-gigantic", legacy(whole, ["0"], [(-1, data[0][1])]), "should have 6 elements")
    view = lambda offset, size: state(("w", tensor(storage=b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x06" + text("1") + long4(offset) + long4(size) + b"\x87tQ", shape=(1,), stride=(1,))))
    refuse("legacy-view-beyond", legacy(view(4, 3), ["0"], data), "goes beyond its 24 bytes")
    refuse("legacy-view-gigantic", legacy(view(1 << 62, 1), ["0"], data), "no possible size")
    refuse("legacy-view-negative", legacy(view(-1, 1), ["0"], data), "no possible size")


def main():
    make_good()
    make_model()
    names = set()
    for make in (code, opcodes, structure, tensors, containers):
        corpus.clear()
        make()
        assert len({entry["name"] for entry in corpus} - names) == len(corpus)
        names |= {entry["name"] for entry in corpus}
        lines = ",\n".join(json.dumps(entry) for entry in corpus)
        (HERE / "corpus").mkdir(exist_ok=True)
        (HERE / "corpus" / f"{make.__name__}.json").write_text(f"[\n{lines}\n]\n")
    print(len(names), "files in the corpus")


main()
