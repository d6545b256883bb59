"""Whole conversions, each a process of its own, beside `cp` and beside PEFT on the same files."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from measuring import Check, Row, Usage, median, paired, run_process, size_text, time_text


class Conversions:
    def __init__(self, qconv: str, bench: str, directory: Path, memory: Path, runs: int):
        self.qconv, self.bench, self.runs = qconv, bench, runs
        # Where checkpoints go, and what is written to memory.
        self.directory, self.memory = directory, memory

    # Inputs

    def generate(self, name: str, *options: str) -> Path:
        path = self.directory / name
        if not path.exists():
            subprocess.run([self.bench, "generate", str(path), *options], check=True)
        return path

    def generate_adapter(self, name: str, model: Path, *options: str) -> Path:
        """Another adapter of a checkpoint that `generate` has made with these options but for the rank."""
        path = self.directory / name
        if not path.exists():
            subprocess.run(
                [self.bench, "generate", str(model), "--adapter", str(path), "--adapter-only", *options], check=True)
        return path

    def weights_of(self, model: Path) -> int:
        """Elements of a bfloat16 checkpoint."""
        return model.joinpath("model.safetensors").stat().st_size // 2

    # Conversions

    def spec(self, name: str, document: dict) -> str:
        path = self.directory / f"{name}.json"
        path.write_text(json.dumps(document, indent=2))
        return str(path)

    def quantize_spec(self, model: Path, output: str, **options) -> str:
        return self.spec(output, {
            "input": str(model), "steps": [{"op": "quantize"} | options],
            "output": {"path": str(self.directory / output), "format": "bitsandbytes"}})

    def reported(self, spec: str) -> str:
        """The same conversion with a report of its error figures."""
        document = json.loads(Path(spec).read_text())
        name = f"{Path(spec).stem}-reported"
        document["output"]["path"] = str(self.directory / name)
        return self.spec(name, document | {"report": {"json": str(self.directory / f"{name}-figures.json")}})

    def merge_spec(self, model: Path, adapter: Path, output: str, **options) -> str:
        return self.spec(output, {
            "input": str(model),
            "steps": [{"op": "attach-adapter", "path": str(adapter)}, {"op": "merge-in-4bit"} | options],
            "output": {"path": str(self.directory / output), "format": "bitsandbytes"}})

    def pipeline(self, spec: str, *options: str) -> Usage:
        shutil.rmtree(Path(spec).with_suffix(""), ignore_errors=True)
        return run_process([self.qconv, "pipeline", spec, "--quiet", "--force", *options])

    def copy(self, model: Path, synced: bool) -> Usage:
        """`cp` of the weights; with `synced` also until they are on the disk, as our outputs are when we are done."""
        destination = self.directory / "copy.safetensors"
        destination.unlink(missing_ok=True)
        command = 'cp "$0" "$1" && sync "$1"' if synced else 'cp "$0" "$1"'
        return run_process(["sh", "-c", command, str(model / "model.safetensors"), str(destination)])

    def beside_copy(self, name: str, spec: str, model: Path, target: float | None = None) -> "BesideCopy":
        return BesideCopy(self, name, spec, model, target)

    def beside_peft(self, spec: str, base: Path, adapter: Path) -> tuple[list[Row], list[Check]]:
        script = str(Path(__file__).with_name("peft_merge.py"))
        output = self.directory / "merged-by-peft"

        def peft() -> Usage:
            shutil.rmtree(output, ignore_errors=True)
            return run_process([sys.executable, script, str(base), str(adapter), str(output)])

        ours, theirs = paired(lambda: self.pipeline(spec), peft, self.runs)
        row = Row(
            "NF4 merge, rank 16, as PEFT does it", [u.seconds for u in ours], [u.seconds for u in theirs], 30)
        our_peak, their_peak = (max(u.peak_bytes for u in side) for side in (ours, theirs))
        return [row], [Check(
            "peak memory of PEFT / ours", f"{their_peak / our_peak:.1f} × ({size_text(their_peak)} / {size_text(our_peak)})",
            "≥ 4 ×", their_peak >= 4 * our_peak)]

    # Comparisons

    def diff(self, a: Path, b: Path, *options: str) -> Usage:
        return run_process([self.qconv, "diff", str(a), str(b), "--quiet", *options], statuses=(0, 1))

    def beside_diff_tools(self, model: Path, nf4: Path, copy) -> tuple[list[Row], list[Check]]:
        """`qconv diff` beside `cmp` (equal files) and beside torch (values), and beside `copy`, which copies in memory with as
        many threads and answers the bytes copied a second."""
        twin = self.directory / "twin"
        shutil.copytree(model, twin, dirs_exist_ok=True)
        files = [str(path / "model.safetensors") for path in (model, twin)]
        script = str(Path(__file__).with_name("torch_diff.py"))
        equal, others = paired(
            lambda: self.diff(model, twin), lambda: (run_process(["cmp", *files]), copy()), self.runs)
        cmp, copied = map(list, zip(*others))
        torch_equal = [run_process([sys.executable, script, str(model), str(twin)]) for _ in range(self.runs)]
        mixed, torch_mixed = paired(
            lambda: self.diff(model, nf4),
            lambda: run_process([sys.executable, script, str(model), str(nf4)]), self.runs)
        size = model.joinpath("model.safetensors").stat().st_size
        rows = [
            Row("equal bf16 files / cmp", seconds(equal), seconds(cmp)),
            Row("equal bf16 files / torch", seconds(equal), seconds(torch_equal)),
            Row("bf16 and NF4 / torch", seconds(mixed), seconds(torch_mixed)),
        ]
        compared = [2 * size / s for s in seconds(equal)]
        shares = [a / b for a, b in zip(compared, copied)]
        weights = self.weights_of(model) / median(seconds(mixed))
        return rows, [
            Check("equal bf16 files: bytes compared a second", f"{median(compared) * 1e-9:.1f} GB/s",
                  f"≥ 70 % of {median(copied) * 1e-9:.1f} GB/s copied", median(shares) >= 0.7,
                  f"{median(shares):.0%} ({min(shares):.0%}–{max(shares):.0%})"),
            Check("bf16 and NF4: weights a second", f"{weights * 1e-9:.2f} G", "≥ 1 G", weights >= 1e9),
        ]

    def start_up(self) -> list[Check]:
        many = self.generate("many-tensors", "--tensors", "1000")
        spec = self.spec("plan", {
            "input": str(many), "steps": [{"op": "quantize"}], "output": {"path": str(self.directory / "never")}})
        checks = []
        for name, command, limit in [
            ("qconv --help", [self.qconv, "--help"], 0.020),
            ("qconv pipeline --plan, 1,001 tensors", [self.qconv, "pipeline", spec, "--plan"], 0.050),
        ]:
            seconds = [run_process(command).seconds for _ in range(4 * self.runs)]
            checks.append(Check(
                name, f"{time_text(median(seconds))} ({time_text(min(seconds))}–{time_text(max(seconds))})",
                f"≤ {limit * 1000:.0f} ms", median(seconds) <= limit))
        return checks

    # Quantizes the embedding, too.
    EVERYTHING = {"include": ["*embed_tokens*", "*_proj*"]}

    def all_in_4_bits(self, model: Path) -> Path:
        """The checkpoint in 4 bits, the embedding included."""
        base = self.directory / f"scaling-base-{model.name}"
        if not base.exists():
            self.pipeline(self.quantize_spec(model, base.name, **self.EVERYTHING))
        return base

    def large_beside_small(self, large: Path, small: Path, adapter: Path, small_adapter: Path) -> list[Check]:
        """A checkpoint with half of a billion weights in one tensor: memory, and time a weight."""
        checks = []
        for name, options in [("quantize", {}), ("quantize, embedding too", self.EVERYTHING)]:
            specs = [
                self.quantize_spec(model, f"scaling-{model.name}", **options) for model in (large, small)]
            ours, theirs = paired(
                lambda: self.pipeline(specs[0]), lambda: self.pipeline(specs[1]), self.runs)
            checks += self.scaling(name, ours, theirs, self.weights_of(large), self.weights_of(small))
        bases = [self.all_in_4_bits(model) for model in (large, small)]
        specs = [
            self.merge_spec(base, factors, f"scaling-merged-{base.name}", rounding="stochastic")
            for base, factors in zip(bases, (adapter, small_adapter))]
        ours, theirs = paired(lambda: self.pipeline(specs[0]), lambda: self.pipeline(specs[1]), self.runs)
        checks += self.scaling(
            "merge-in-4bit, rank 16", ours, theirs, self.weights_of(large), self.weights_of(small))
        return checks

    def scaling(self, name: str, large: list[Usage], small: list[Usage], large_count: int, small_count: int):
        peak = max(u.peak_bytes for u in large)
        ratios = [
            (a.seconds / large_count) / (b.seconds / small_count) for a, b in zip(large, small)]
        per_weight = median(u.seconds for u in large) / large_count * 1e9
        return [
            Check(f"{name}: peak memory, {large_count / 1e9:.2f} G weights", size_text(peak), "≤ 320 MiB",
                  peak <= 320 << 20, f"{time_text(median(u.seconds for u in large))}"),
            Check(f"{name}: time a weight / that of {small_count / 1e6:.0f} M weights",
                  f"{median(ratios):.2f} × ({min(ratios):.2f}–{max(ratios):.2f})", "≤ 1.2 ×", median(ratios) <= 1.2,
                  f"{per_weight:.2f} ns a weight"),
        ]

    def batch_beside_one(self, name: str, base: Path, adapter: Path, count: int = 4, **options) -> Row:
        """A batch of some adapters beside a pipeline of one of them: the same number of weights and modules in each."""
        runs = self.directory / f"{adapter.name}-runs"
        for number in range(count):
            copy = runs / f"checkpoint-{number + 1}"
            if not copy.exists():
                shutil.copytree(adapter, copy)
        output = self.directory / f"batch-{name}"
        step = {"op": "merge-in-4bit"} | options
        batch = self.spec(output.name, {
            "input": str(base), "steps": [{"op": "attach-adapter", "path": "{adapter}"}, step],
            "output": {"path": str(output / "{name}"), "format": "bitsandbytes"},
            "batch": {"adapters": [str(runs / "*")]}})
        # A batch makes figures, too.
        one = self.reported(self.merge_spec(base, adapter, f"batch-{name}-one", **options))

        def run_batch() -> Usage:
            shutil.rmtree(output, ignore_errors=True)
            return run_process([self.qconv, "batch", batch, "--quiet"])

        ours, alone = paired(run_batch, lambda: self.pipeline(one), self.runs)
        ratio = median(cpu(a) / cpu(b) for a, b in zip(ours, alone))
        return Row(
            f"{count} adapters, {name}", [u.seconds for u in ours], [u.seconds for u in alone], 1.6, at_most=True,
            notes=f"CPU {ratio:.2f} ×, peak {size_text(max(u.peak_bytes for u in ours))}")

    def in_memory(self, spec: str) -> str:
        """The same conversion with what it writes in memory."""
        document = json.loads(Path(spec).read_text())
        path = self.memory / Path(spec).name
        document["output"]["path"] = str(path.with_suffix(""))
        if "report" in document:
            document["report"] = {"json": str(path.with_suffix(".figures.json"))}
        path.write_text(json.dumps(document, indent=2))
        return str(path)

    def two_threads_beside_one(self, jobs: list[tuple[str, str, float | None]]) -> list[Row]:
        """Each job: what it is called, its spec, and the ratio that must be reached if it is bound by computing.

        They write to memory: what a disk takes at a time does not depend on threads."""
        rows = []
        for name, spec, target in jobs:
            spec = self.in_memory(spec)
            two, one = paired(
                lambda: self.pipeline(spec, "--threads", "2"), lambda: self.pipeline(spec, "--threads", "1"), self.runs)
            rows.append(Row(
                name, [u.seconds for u in two], [u.seconds for u in one], target,
                notes=f"CPU {time_text(median(cpu(u) for u in two))}"))
            shutil.rmtree(Path(spec).with_suffix(""), ignore_errors=True)
        return rows


class BesideCopy:
    """A conversion beside `cp` of its input.

    Short ones are measured in several rounds, far apart: a virtual machine is slower for minutes at a time."""

    def __init__(self, conversions: Conversions, name: str, spec: str, model: Path, target: float | None):
        self.conversions, self.model = conversions, model
        # What it is called, its spec, whether the copy is synced, too, and what must be reached.
        self.variants = [
            (f"{name} / cp", spec, False, target),
            (f"{name}, with a report / cp", conversions.reported(spec), False, target),
            (f"{name} / cp and sync", spec, True, None),
        ]
        self.pairs: list[tuple[list[Usage], list[Usage]]] = [([], []) for _ in self.variants]

    def measure(self) -> None:
        """Another round."""
        for (_, spec, synced, _), sides in zip(self.variants, self.pairs):
            measured = paired(
                lambda: self.conversions.pipeline(spec), lambda: self.conversions.copy(self.model, synced),
                self.conversions.runs)
            for side, more in zip(sides, measured):
                side += more

    @property
    def rows(self) -> list[Row]:
        return [
            Row(name, seconds(ours), seconds(copies), target, at_most=True,
                notes=f"peak {size_text(max(u.peak_bytes for u in ours))}, CPU {time_text(median(cpu(u) for u in ours))}")
            for (name, _, _, target), (ours, copies) in zip(self.variants, self.pairs)]


def cpu(usage: Usage) -> float:
    return usage.user_seconds + usage.system_seconds


def seconds(usages: list[Usage]) -> list[float]:
    return [usage.seconds for usage in usages]
