"""Which kernels the demo model in INT8 gets, by runtime and instruction set; from the runtimes' own lists.

    MOBILE=.venv-mobile python -m benchmarks.measure.int8_kernels

The CPU here as it is, and emulated by QEMU x86-64 without VNNI and 64-bit ARM without dot products, with them
and with products of matrices. ExecuTorch and LiteRT, from environments of `make test-mobile`, on ARM alone.
There, executed instructions tell whether what is multiplied has 8 bits: ONNX Runtime's operators are the same
whatever kernel is behind them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.measure.arm64 import RUNTIMES, write_int8
from benchmarks.measure.arm64_phones import write_engine, write_model
from benchmarks.support.arm64_programs import Program, build_program
from benchmarks.support.counting import CPUS, Counts
from benchmarks.support.kernel_lists import is_int8, weighted
from benchmarks.support.reports import ROOT, Bar, Reporting, report_options, route
from convnext_edge.cpu import Machine, read_cpu
from convnext_edge.targets.registry import find_target

PHONES = ("executorch", "litert")  # `ort-mobile` is ONNX Runtime
WITHOUT_VNNI = "Haswell"  # an x86-64 CPU with AVX2 and without VNNI, by QEMU's name
MODEL = "demo"
# products of one instruction; of those that widen, the eight of a half register
PRODUCTS = {"dot": 16, "i8mm": 32, "widening": 8}


def on_x86(runtime: str, path: Path) -> Iterator[dict[str, Any]]:
    """A row for a CPU without VNNI, and one for the CPU here."""
    command = (sys.executable, "-m", "benchmarks.support.kernel_lists", runtime, str(path))
    emulated = ("qemu-x86_64", "-cpu", WITHOUT_VNNI)
    for instructions, before in (("avx2", emulated), (route(read_cpu()), ())):
        told = subprocess.run([*before, *command], cwd=ROOT, capture_output=True, check=True).stdout
        kernels = json.loads(told.splitlines()[-1])
        yield {
            **row("x86-64", instructions, WITHOUT_VNNI if before else None),
            "kernels": kernels,
            "int8": any(map(is_int8, kernels)),
        }


def on_arm(program: Program, path: Path) -> Iterator[dict[str, Any]]:
    """A row for each of the emulated ARM CPUs."""
    for instructions, cpu in CPUS.items():
        try:
            counts = program.count_image(path, instructions)
        except RuntimeError as error:  # as LiteRT's, which was compiled for newer CPUs than the oldest here
            said = next((line for line in str(error).splitlines() if "FATAL" in line), str(error))
            yield {**row("aarch64", instructions, cpu), "kernels": None, "int8": None, "refused": said}
            continue
        listed = weighted(program.kernels(path, instructions)) if program.runtime == "openvino" else None
        yield {
            **row("aarch64", instructions, cpu),
            "kernels": listed,
            "by_class": counts,
            "int8": multiplies_in_int8(counts),
        }


def row(machine: Machine, instructions: str, emulated: str | None) -> dict[str, Any]:
    return {"machine": machine, "instructions": instructions, "emulated": emulated}


def multiplies_in_int8(counts: Counts) -> bool:
    """Whether more products have 8 bits than are floats, of which an instruction has four."""
    return sum(counts[name] * products for name, products in PRODUCTS.items()) > 4 * counts["fma"]


def measure(targets: Sequence[str], place: Path) -> Iterator[dict[str, Any]]:
    machines: tuple[Machine, ...] = ("x86-64", "aarch64")
    for runtime in (name for name in RUNTIMES if name in targets):
        folder = place / runtime
        program = build_program(runtime, folder)
        for form_for in machines:
            path = write_int8(MODEL, runtime, form_for, folder)
            named = {"target": runtime, "form": find_target(runtime).int8_form(form_for)}
            here = on_x86(runtime, path) if form_for == "x86-64" else iter(())
            for found in (*here, *on_arm(program, path)):
                print(*named.values(), found["machine"], found["instructions"], found["int8"], flush=True)
                yield {**named, **found}


def measure_phones(targets: Sequence[str], place: Path) -> Iterator[dict[str, Any]]:
    for target in (name for name in PHONES if name in targets):
        program = build_program(target, place / target)
        engine = write_engine(write_model(MODEL, target, "int8", "aarch64", place), target)
        for found in on_arm(program, engine):
            print(target, found["machine"], found["instructions"], found["int8"], flush=True)
            yield {"target": target, "form": find_target(target).form, **found}


def check(rows: list[dict[str, Any]]) -> Iterator[Bar]:
    """What the product says of a form on a machine is what was found there."""
    wrong = [
        row
        for row in rows
        if "refused" not in row
        and find_target(row["target"]).int8_kernels(row["form"], row["machine"]) != row["int8"]
    ]
    yield Bar("runs that contradict what targets say of their INT8 kernels", len(wrong), at_most=0)


@click.command()
@click.option(
    "--target",
    "targets",
    multiple=True,
    type=click.Choice((*RUNTIMES, *PHONES)),
    default=(*RUNTIMES, *PHONES),
    help="Run this alone, and keep what the report says of others; repeatable.",
)
@click.option("--place", type=click.Path(path_type=Path), help="Folder that keeps libraries and models.")
@report_options
def main(targets: tuple[str, ...], place: Path | None, reporting: Reporting) -> None:
    """List the kernels of the demo model in INT8 on each kind of CPU."""
    with tempfile.TemporaryDirectory() as folder:
        place = place or Path(folder)
        rows = [*measure(targets, place), *measure_phones(targets, place)]
    before = reporting.earlier("int8_kernels").get("rows", [])
    rows = [*(row for row in before if row["target"] not in targets), *rows]
    reporting.finish("int8_kernels", {"rows": rows}, check(rows))


if __name__ == "__main__":
    main()
