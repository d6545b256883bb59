"""Writes the fixtures of the quantization tests with the real bitsandbytes and torch.

    python make_fixtures.py        # bitsandbytes 0.50.2, torch 2.15, CPU

quantization.json lists the cases; every array of a case is a range of quantization.bin (byte offset and byte length).
Everything is derived from fixed seeds.
"""

import json
from pathlib import Path

import bitsandbytes.functional as F
import torch

HERE = Path(__file__).parent
DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
BLOCKSIZES = [32, 64, 128, 256, 512, 1024, 2048, 4096]

data = bytearray()


def put(tensor):
    """Appends a tensor's bytes and returns [offset, length]."""
    raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    offset = len(data)
    data.extend(raw)
    return [offset, len(raw)]


def quantization_case(name, values, blocksize, quant_type, double):
    codes, state = F.quantize_4bit(values, blocksize=blocksize, quant_type=quant_type, compress_statistics=double)
    # A flattened view: on AVX-512 CPUs bitsandbytes 0.50.2 picks wrong scales where rows are not whole blocks.
    state.shape = torch.Size([values.numel()])
    decoded = F.dequantize_4bit(codes, state)
    case = {
        "name": name,
        "dtype": next(key for key, value in DTYPES.items() if value == values.dtype),
        "count": values.numel(),
        "blocksize": blocksize,
        "quant_type": quant_type,
        "values": put(values),
        "codes": put(codes),
        "decoded": put(decoded),
    }
    if double:
        absmax = F.dequantize_blockwise(state.absmax, state.state2) + state.offset
        case |= {
            "absmax_codes": put(state.absmax),
            "nested_absmax": put(state.state2.absmax),
            "offset": put(state.offset),
            "decoded_absmax": put(absmax.float()),
        }
    else:
        case["absmax"] = put(state.absmax)
    return case


def weights(count, seed, dtype=torch.float32, sigma=0.02):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(count, generator=generator) * sigma).to(dtype)


def special_values(quant_type):
    """(name, values) that sit where rules differ."""
    levels = F.get_4bit_type(quant_type, device="cpu")
    ordered = levels.sort().values
    middle = (ordered[:-1] + ordered[1:]) / 2
    neighbours = [middle, torch.nextafter(middle, torch.tensor(9.0)), torch.nextafter(middle, torch.tensor(-9.0))]
    on_grid = torch.cat([ordered, *neighbours])
    on_grid = torch.cat([on_grid, torch.zeros(64 - on_grid.numel() % 64)])
    for block in on_grid.view(-1, 64):
        block[63] = 1.0
    yield "midpoints, absmax 1", on_grid
    yield "midpoints, absmax 0.25", on_grid * 0.25
    yield "midpoints, absmax 0.3", on_grid * 0.3
    yield "midpoints, short block", on_grid[:61] * 0.7
    yield "all zero", torch.zeros(128)
    yield "all zero, short", torch.zeros(33)
    yield "zero block between others", torch.cat([weights(64, 1), torch.zeros(64), weights(64, 2)])
    yield "negative zero", torch.tensor([-0.0, 1.0, -0.0, 0.0] * 16)
    yield "single element", torch.tensor([0.125])
    yield "single zero", torch.tensor([0.0])
    yield "subnormal values", weights(192, 3, sigma=1e-40)
    yield "subnormal values, short", weights(37, 4, sigma=1e-40)
    yield "around the smallest absmax", weights(128, 5, sigma=1e-38)
    yield "huge values", weights(128, 6, sigma=1e38).clamp(-3e38, 3e38)
    yield "one outlier", torch.cat([weights(63, 7), torch.tensor([1e6]), weights(65, 8)])
    yield "NaN in a block", torch.cat([weights(30, 9), torch.tensor([float("nan")]), weights(97, 10)])
    yield "infinity in a block", torch.cat([weights(30, 11), torch.tensor([float("inf")]), weights(97, 12)])
    yield "half-precision values", weights(333, 13).half().float()


cases = []
for quant_type in ("nf4", "fp4"):
    for dtype_name, dtype in DTYPES.items():
        for blocksize in BLOCKSIZES:
            for double in (False, True):
                # Three rows and a bit that are no whole number of blocks, so blocks cross row ends.
                count = 2 * blocksize + blocksize // 2 + 7 if double else blocksize + 3
                if dtype_name == "F32" and double:
                    count = min(count, 2 * blocksize)
                seed = blocksize + 10000 * len(dtype_name) + (1 if double else 0)
                values = weights(count, seed, dtype)
                label = f"{dtype_name} {quant_type} blocksize {blocksize}" + (" double" if double else "")
                cases.append(quantization_case(label, values, blocksize, quant_type, double))
    # Enough scales for several nested blocks, the last of them short.
    many = weights(32 * 700 + 5, 77, torch.bfloat16)
    cases.append(quantization_case(f"{quant_type} several nested blocks", many, 32, quant_type, True))
    for name, values in special_values(quant_type):
        cases.append(quantization_case(f"{quant_type} {name}", values, 64, quant_type, False))
    for name in ("equal scales", "one scale"):
        values = torch.ones(640 if name == "equal scales" else 40)
        cases.append(quantization_case(f"{quant_type} {name}", values, 64, quant_type, True))
    cases.append(quantization_case(f"{quant_type} empty", torch.zeros(0), 64, quant_type, False))

scales = []
for index in range(40):
    generator = torch.Generator().manual_seed(1000 + index)
    values = torch.randn(256, generator=generator) * 10.0 ** torch.empty(256).uniform_(-4, 0, generator=generator)
    if index % 4 == 1:
        values = torch.rand(256, generator=generator) * 0.05
    if index == 2:
        # Exactly on grid points, levels and midpoints of the map.
        code = F.create_dynamic_map()
        values = torch.cat([code[:-1] / 2 + code[1:] / 2, torch.ones(1)])
    if index == 3:
        values = F.create_dynamic_map()
    if index == 6:
        values = torch.zeros(256)
    if index == 7:
        values = torch.cat([torch.randn(200, generator=generator) * 1e-40, torch.zeros(56)])
    if index == 10:
        values = torch.arange(-128, 128) / 128.0
    codes, state = F.quantize_blockwise(values, blocksize=256)
    scales.append({"values": put(values), "codes": put(codes), "nested_absmax": put(state.absmax)})

conversions = []
NARROW = {
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
generator = torch.Generator().manual_seed(5)
inputs = torch.cat([
    torch.randn(1500, generator=generator) * 10.0 ** torch.empty(1500).uniform_(-9, 6, generator=generator),
    torch.randint(-(2**31), 2**31, (2500,), generator=generator, dtype=torch.int64).to(torch.int32).view(torch.float32),
    torch.tensor([0.0, -0.0, float("inf"), -float("inf"), 65504, 65519.996, 65520, 65536, 61440, 57344, 448, 463.9, 464,
                  464.1, 479.9, 480, 240, 2.0**-24, 2.0**-25, 2.0**-25 * 1.0001, 2.0**-9, 2.0**-10, 2.0**-16, 2.0**-17,
                  3.0 * 2**-10, 2.0**-6, 2.0**-14, 2.0**-126, 2.0**-149, 3.4028235e38, 3.3895314e38, 3.3961775e38]),
])
# Halfway between neighbours of every narrow type.
for dtype in NARROW.values():
    every = torch.arange(0, 256 if dtype.itemsize == 1 else 65536, 1 if dtype.itemsize == 1 else 331)
    every = every.to(torch.uint8 if dtype.itemsize == 1 else torch.uint16).view(dtype).float()
    every = every[every.isfinite()].sort().values
    if dtype.itemsize == 1:
        inputs = torch.cat([inputs, (every[:-1] + every[1:]) / 2])
    else:
        up = torch.nextafter(every.to(dtype), torch.tensor(float("inf"), dtype=dtype)).float()
        inputs = torch.cat([inputs, (every + (up - every) / 2)])
inputs = inputs[~inputs.isnan()]
for name, dtype in NARROW.items():
    conversions.append({"dtype": name, "values": put(inputs), "encoded": put(inputs.to(dtype))})

decodings = []
for name, dtype in (NARROW | {
    "F8_E8M0": torch.float8_e8m0fnu, "F8_E4M3FNUZ": torch.float8_e4m3fnuz, "F8_E5M2FNUZ": torch.float8_e5m2fnuz
}).items():
    bits = torch.arange(256).to(torch.uint8) if dtype.itemsize == 1 else torch.arange(0, 65536, 13).to(torch.uint16)
    decodings.append({"dtype": name, "encoded": put(bits), "values": put(bits.view(dtype).float())})

manifest = {
    "levels": {name: put(F.get_4bit_type(name, device="cpu")) for name in ("nf4", "fp4")},
    "dynamic_map": put(F.create_dynamic_map()),
    "cases": cases,
    "scales": scales,
    "encodings": conversions,
    "decodings": decodings,
}
(HERE / "quantization.json").write_text(json.dumps(manifest, indent=1) + "\n")
(HERE / "quantization.bin").write_bytes(bytes(data))
print(f"{len(cases)} cases, {len(data)} bytes")
