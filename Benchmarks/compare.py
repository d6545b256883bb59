"""Measures qconv beside bitsandbytes, torch, PEFT and cp, in paired runs, and writes the table of RESULTS.md.

Started by `run`, which builds what this needs.
"""

import argparse
import importlib.metadata
import os
import platform
import subprocess
import tempfile
from datetime import date
from pathlib import Path

from measuring import KernelServer, check_table, table


def machine() -> list[str]:
    processor = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((l.split(":")[1].strip() for l in lines if l.startswith("model name")), processor)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    swift = subprocess.run(["swift", "--version"], capture_output=True, text=True).stdout.splitlines()
    libraries = ("torch", "bitsandbytes", "peft", "transformers")
    return [
        f"{processor}, {os.cpu_count()} cores, {memory} GiB, {platform.system()} {platform.release()}",
        swift[0] if swift else "",
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {importlib.metadata.version(name)}" for name in libraries),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--qconv", required=True, help="the program")
    parser.add_argument("--bench", required=True, help="qconv-bench")
    parser.add_argument("--runs", type=int, default=5, help="measured runs of each side")
    parser.add_argument("--directory", help="where checkpoints go (about 8 GB); removed afterwards unless given")
    parser.add_argument(
        "--memory", default="/dev/shm",
        help="a directory in memory with 3 GB of room, for what two threads and one are compared at (default: /dev/shm)")
    parser.add_argument("--only", choices=["kernels", "processes"])
    parser.add_argument("--output", help="the Markdown file to write")
    arguments = parser.parse_args()

    sections: list[str] = []

    def add(title: str, text: str) -> None:
        sections.append(f"## {title}\n\n{text}\n")
        print(f"\n{title}\n\n{text}", flush=True)

    if arguments.only != "processes":
        import kernel_comparison as kernels

        server = KernelServer(arguments.bench, kernels.ROWS, kernels.COLUMNS)
        shape = f"{kernels.ROWS} × {kernels.COLUMNS}"
        for threads in (2, 1):
            rows = kernels.beside_libraries(server, threads, arguments.runs)
            if threads == 1:
                for row in rows:
                    row.target = None
            add(f"Kernels, {shape}, {threads} thread{'s' if threads > 1 else ''}, beside bitsandbytes and torch", table(rows))
        add("Kernels: two threads beside one", table(
            kernels.two_threads_beside_one(server, arguments.runs), "two", "one"))
        add("Kernels beside a copy of the float32 matrix in memory, two threads", table(
            kernels.beside_a_copy(server, 2, arguments.runs), theirs="copy"))
        server.close()

    if arguments.only != "kernels":
        with tempfile.TemporaryDirectory() as temporary, tempfile.TemporaryDirectory(dir=arguments.memory) as memory:
            measure_processes(arguments, Path(arguments.directory or temporary).resolve(), Path(memory), add)

    if arguments.output:
        head = "# Results\n\nWritten by `Benchmarks/run`. Every ratio is of runs made in turn; medians, with the least and the largest.\n"
        facts = "\n".join(f"- {line}" for line in machine() + [f"{date.today()}, {arguments.runs} runs a side"])
        Path(arguments.output).write_text("\n".join([head, facts + "\n"] + sections))


def measure_processes(arguments, directory: Path, memory: Path, add) -> None:
    from processes import Conversions

    directory.mkdir(parents=True, exist_ok=True)
    conversions = Conversions(arguments.qconv, arguments.bench, directory, memory, arguments.runs)
    adapter, large_adapter = directory / "small-adapter", directory / "large-adapter"
    small = conversions.generate("small", "--weights", "135000000", "--adapter", str(adapter))
    quantize = conversions.quantize_spec(small, "small-nf4")
    conversions.pipeline(quantize)
    nf4 = directory / "small-nf4-base"
    conversions.pipeline(conversions.quantize_spec(small, nf4.name))
    merge = conversions.merge_spec(nf4, adapter, "small-merged")
    as_peft = {"rounding": "nearest", "scales": "fresh"}
    merge_as_peft = conversions.merge_spec(nf4, adapter, "small-merged-as-peft", **as_peft)

    add("Start-up", check_table(conversions.start_up()))
    # Short ones three times: here, in the middle and at the end.
    short = [
        conversions.beside_copy("quantize bf16 to bitsandbytes NF4", quantize, small, 1.5),
        conversions.beside_copy("merge-in-4bit, rank 16", merge, nf4, 3)]
    measure_all(short)
    rows, checks = conversions.beside_peft(merge_as_peft, nf4, adapter)
    add("Whole process, 135 M weights, beside PEFT", table(rows, theirs="PEFT") + "\n\n" + check_table(checks))
    copy = KernelServer(arguments.bench, 4096, 11008)
    rows, checks = conversions.beside_diff_tools(
        small, nf4, lambda: 4096 * 11008 * 4 / copy.seconds("copy-f32", 2))
    copy.close()
    add("qconv diff, 135 M weights", table(rows, theirs="the other") + "\n\n" + check_table(checks))
    rank_64 = conversions.generate_adapter("small-adapter-64", small, "--weights", "135000000", "--rank", "64")
    add("Whole process, written to memory: two threads beside one", table(conversions.two_threads_beside_one([
        ("quantize bf16 to bitsandbytes NF4", quantize, None), ("merge-in-4bit, rank 16", merge, None),
        ("merge-in-4bit, rank 16, with a report", conversions.reported(merge), None),
        ("merge-in-4bit, rank 16, as PEFT", merge_as_peft, None),
        ("merge-in-4bit, rank 64, as PEFT", conversions.merge_spec(
            nf4, rank_64, "small-merged-64", **as_peft), None)]), "two", "one"))
    measure_all(short)
    container = directory / "small-base.nf4"
    if not container.exists():
        subprocess.run([arguments.qconv, "convert", str(nf4), str(container), "--quiet"], check=True)
    examples = Path(__file__).resolve().parent.parent / "examples" / "tiny-llama"
    add("qconv batch: four adapters beside a pipeline of one", table([
        conversions.batch_beside_one("tiny-llama", examples / "base-nf4", examples / "adapters" / "checkpoint-200"),
        conversions.batch_beside_one("135 M weights", nf4, adapter),
        conversions.batch_beside_one("135 M weights in a container", container, adapter)], "four", "one"))
    large = conversions.generate("large", "--weights", "1000000000", "--adapter", str(large_adapter))
    large_nf4 = conversions.all_in_4_bits(large)
    large_64 = conversions.generate_adapter("large-adapter-64", large, "--weights", "1000000000", "--rank", "64")
    add("Whole process, 1 billion weights, written to memory: two threads beside one", table(conversions.two_threads_beside_one([
        ("merge-in-4bit, rank 16, with a report", conversions.reported(
            conversions.merge_spec(large_nf4, large_adapter, "large-merged-two")), None),
        ("merge-in-4bit, rank 16, as PEFT", conversions.merge_spec(
            large_nf4, large_adapter, "large-merged-as-peft", **as_peft), 1.8),
        ("merge-in-4bit, rank 64, with a report", conversions.reported(
            conversions.merge_spec(large_nf4, large_64, "large-merged-64")), 1.8),
        ("merge-in-4bit, rank 64, as PEFT", conversions.merge_spec(
            large_nf4, large_64, "large-merged-64-as-peft", **as_peft), 1.8),
        ("quantize bf16 to bitsandbytes NF4, stochastic", conversions.quantize_spec(
            large, "large-nf4-stochastic", rounding="stochastic"), None)]), "two", "one"))
    add("1 billion weights, half of them in one tensor", check_table(
        conversions.large_beside_small(large, small, large_adapter, adapter)))
    long = [
        conversions.beside_copy("quantize bf16 to bitsandbytes NF4", conversions.quantize_spec(large, "large-nf4"), large),
        conversions.beside_copy(
            "merge-in-4bit, rank 16, into the half that has updates",
            conversions.merge_spec(large_nf4, large_adapter, "large-merged"), large_nf4)]
    measure_all(long)
    add("Whole process, 1 billion weights, beside cp of the input", rows_of(long)
        + "\n\n`cp` of the bf16 checkpoint itself has to wait for the disk: there are more dirty pages than the system allows.")
    measure_all(short)
    add("Whole process, 135 M weights, beside cp of the input", rows_of(short)
        + f"\n\nMedians of {3 * arguments.runs} pairs, in three rounds: at the beginning, in the middle and at the end of the run.")


def measure_all(conversions) -> None:
    for conversion in conversions:
        conversion.measure()


def rows_of(conversions) -> str:
    return table([row for conversion in conversions for row in conversion.rows], theirs="cp")


if __name__ == "__main__":
    main()
