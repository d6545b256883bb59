"""Paired measurements, and what is said of them."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Row:
    """One line of a table: what took how long on either side, run by run."""

    name: str
    ours: list[float]
    theirs: list[float]
    # The ratio theirs / ours that must be reached, or with `at_most` the ratio ours / theirs.
    target: float | None = None
    at_most: bool = False
    notes: str = ""

    @property
    def ratios(self) -> list[float]:
        pairs = zip(self.ours, self.theirs)
        return [ours / theirs if self.at_most else theirs / ours for ours, theirs in pairs]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        reached = self.ratio <= self.target if self.at_most else self.ratio >= self.target
        return "PASS" if reached else "below"

    @property
    def target_text(self) -> str:
        return "" if self.target is None else f"{'≤' if self.at_most else '≥'} {self.target:g} ×"


@dataclass
class Check:
    """A measured value with a limit of its own."""

    name: str
    value: str
    target: str
    is_reached: bool
    notes: str = ""

    @property
    def verdict(self) -> str:
        return "PASS" if self.is_reached else "below"


@dataclass
class Usage:
    seconds: float
    peak_bytes: int
    user_seconds: float
    system_seconds: float


def paired(ours, theirs, runs: int) -> tuple[list, list]:
    """Calls both in turn, first once unmeasured, and answers what each call answered (or the seconds it took)."""
    results: tuple[list, list] = ([], [])
    for run in range(runs + 1):
        for side, call in enumerate((ours, theirs)):
            start = time.perf_counter()
            answer = call()
            elapsed = time.perf_counter() - start
            if run > 0:
                results[side].append(elapsed if answer is None else answer)
    return results


def run_process(command: list[str], environment: dict | None = None, statuses: tuple[int, ...] = (0,)) -> Usage:
    """Runs a program to its end, which must have one of these statuses. Its peak memory counts mapped file pages, as the
    kernel does."""
    # What earlier runs have left to be written would take their time from this one.
    os.sync()
    launcher = Path(__file__).with_name("launch.py")
    read_end, write_end = os.pipe()
    with tempfile.TemporaryFile() as errors, open(read_end) as report:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(launcher), str(write_end), *command], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=errors, pass_fds=[write_end],
            env=None if environment is None else os.environ | environment)
        os.close(write_end)
        facts = report.read()
        process.wait()
        status, *usage = json.loads(facts) if facts else [None]
        if status not in statuses:
            errors.seek(0)
            sys.exit(f"{' '.join(command)}\nfailed with status {status}:\n{errors.read().decode()[-4000:]}")
    return Usage(*usage)


class KernelServer:
    """qconv-bench, kept running with its matrix in memory, doing one operation at a time."""

    def __init__(self, program: str, rows: int, columns: int):
        self.process = subprocess.Popen(
            [program, "kernels", "--serve", "--rows", str(rows), "--columns", str(columns)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self, operation: str, threads: int) -> float:
        self.process.stdin.write(f"{operation} {threads}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def time_text(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"


def size_text(count: float) -> str:
    return f"{count / (1 << 20):.0f} MiB"


def table(rows: list[Row], ours: str = "qconv", theirs: str = "libraries") -> str:
    sides = f"{ours} / {theirs}" if rows and rows[0].at_most else f"{theirs} / {ours}"
    lines = [
        f"| | {ours} | {theirs} | {sides} (median, min–max) | must | | |",
        "|---|---:|---:|---:|---:|---|---|",
    ]
    for row in rows:
        ratios = row.ratios
        lines.append(
            f"| {row.name} | {time_text(statistics.median(row.ours))} | {time_text(statistics.median(row.theirs))} "
            f"| {row.ratio:.2f} × ({min(ratios):.2f}–{max(ratios):.2f}) | {row.target_text} | {row.verdict} | {row.notes} |")
    return "\n".join(lines)


def check_table(checks: list[Check]) -> str:
    lines = ["| | measured | must | | |", "|---|---:|---:|---|---|"]
    for check in checks:
        lines.append(f"| {check.name} | {check.value} | {check.target} | {check.verdict} | {check.notes} |")
    return "\n".join(lines)


def median(values) -> float:
    return statistics.median(values)
