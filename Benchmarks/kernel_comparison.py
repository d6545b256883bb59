"""The inner loops beside bitsandbytes and torch, on one matrix in memory."""

import bitsandbytes.functional as bnb
import torch

from measuring import KernelServer, Row, paired

ROWS, COLUMNS = 4096, 11008


class Libraries:
    """The same operations with bitsandbytes and torch, on a matrix of the same shape and kind."""

    def __init__(self):
        generator = torch.Generator().manual_seed(1)
        normal = torch.randn(ROWS, COLUMNS, generator=generator)
        outliers = torch.rand(ROWS, COLUMNS, generator=generator) < 1 / 256
        self.float32 = torch.where(outliers, normal * 4, normal) * 0.02
        self.bfloat16 = self.float32.bfloat16()
        self.float16 = self.float32.half()
        self.float8 = self.float32.to(torch.float8_e4m3fn)
        self.factors = {
            rank: (
                torch.randn(ROWS, rank, generator=generator) * 0.01,
                torch.randn(rank, COLUMNS, generator=generator) * 0.01)
            for rank in (16, 64)
        }
        self.quantized = self.quantize(self.bfloat16)
        # A row is a whole number of blocks, so that this is right on every CPU.
        assert COLUMNS % 64 == 0

    def quantize(self, values):
        return bnb.quantize_4bit(values, blocksize=64, compress_statistics=True, quant_type="nf4")

    def dequantize(self):
        return bnb.dequantize_4bit(*self.quantized)

    def merged(self, rank: int):
        left, right = self.factors[rank]
        return self.dequantize() + (left @ right) * 2.0

    def merge(self, rank: int):
        # Linear4bit.merge of PEFT.
        return self.quantize(self.merged(rank))

    def error_sums(self):
        exact = self.float32.double()
        written = self.dequantize().double()
        error = written - exact
        return [(error * error).sum(), (exact * exact).sum(), (written * exact).sum(), error.abs().max()]


# Ours, theirs, and the ratio that must be reached.
COMPARISONS = [
    ("quantize-f32-nearest", lambda t: t.quantize(t.float32), 35),
    ("quantize-bf16-nearest", lambda t: t.quantize(t.bfloat16), 35),
    ("quantize-f32-stochastic", lambda t: t.quantize(t.float32), None),
    ("quantize-bf16-stochastic", lambda t: t.quantize(t.bfloat16), None),
    ("dequantize-bf16", lambda t: t.dequantize(), 2),
    ("merge-rank-16-nearest-fresh", lambda t: t.merge(16), 25),
    ("merge-rank-16-nearest-base", lambda t: t.merge(16), 25),
    ("merge-rank-16-stochastic-base", lambda t: t.merge(16), 25),
    ("merge-rank-64-nearest-fresh", lambda t: t.merge(64), 12),
    ("merge-rank-64-nearest-base", lambda t: t.merge(64), 12),
    ("merge-rank-64-stochastic-base", lambda t: t.merge(64), 12),
    ("dequantize-merge-rank-16-bf16", lambda t: t.merged(16).bfloat16(), None),
    ("dequantize-merge-rank-64-bf16", lambda t: t.merged(64).bfloat16(), None),
    ("bf16-to-f32", lambda t: t.bfloat16.float(), None),
    ("f16-to-f32", lambda t: t.float16.float(), None),
    ("f8e4m3-to-f32", lambda t: t.float8.float(), None),
    ("f32-to-bf16", lambda t: t.float32.bfloat16(), None),
    ("f32-to-f16", lambda t: t.float32.half(), None),
    ("f32-to-f8e4m3", lambda t: t.float32.to(torch.float8_e4m3fn), None),
    ("bf16-to-f16", lambda t: t.bfloat16.half(), None),
    ("error-sums", lambda t: t.error_sums(), None),
]

# What is bound by arithmetic must gain from a second thread.
COMPUTE_BOUND = [
    "quantize-f32-nearest", "quantize-bf16-nearest", "quantize-f32-stochastic", "quantize-bf16-stochastic",
    "merge-rank-16-nearest-fresh", "merge-rank-16-stochastic-base", "merge-rank-64-nearest-fresh",
    "merge-rank-64-stochastic-base",
]

# What is bound by memory is said beside a copy.
MEMORY_BOUND = ["dequantize-f32", "dequantize-bf16", "bf16-to-f32", "f32-to-bf16"]


def beside_libraries(server: KernelServer, threads: int, runs: int) -> list[Row]:
    torch.set_num_threads(threads)
    libraries = Libraries()
    rows = []
    for name, theirs, target in COMPARISONS:
        def call_theirs():
            theirs(libraries)

        ours, other = paired(lambda: server.seconds(name, threads), call_theirs, runs)
        rows.append(Row(name, ours, other, target, notes=rate(ours)))
    return rows


def two_threads_beside_one(server: KernelServer, runs: int) -> list[Row]:
    rows = []
    for name in COMPUTE_BOUND:
        two, one = paired(lambda: server.seconds(name, 2), lambda: server.seconds(name, 1), runs)
        rows.append(Row(name, two, one, 1.8, notes=rate(two)))
    return rows


def beside_a_copy(server: KernelServer, threads: int, runs: int) -> list[Row]:
    rows = []
    for name in MEMORY_BOUND:
        ours, copy = paired(
            lambda: server.seconds(name, threads), lambda: server.seconds("copy-f32", threads), runs)
        rows.append(Row(name, ours, copy, at_most=True, notes=rate(ours)))
    return rows


def rate(seconds: list[float]) -> str:
    return f"{ROWS * COLUMNS / sorted(seconds)[len(seconds) // 2] * 1e-9:.2f} G weights/s"
