"""What an image executes on 64-bit ARM: instructions under QEMU, by class and by operator; a simulation.

    python -m benchmarks.measure.arm64

ONNX Runtime and OpenVINO, FP32 and INT8; INT8 in the form for x86-64 and in the form for ARM64, FP32 as
exported and in the form of INT8. Of three images the first is left out, and loading with it. It tells
instructions, not milliseconds: QEMU knows no caches and no pipelines.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click

from benchmarks.support.arm64_programs import Program, build_program
from benchmarks.support.counting import CPUS, simulated_on
from benchmarks.support.reports import Bar, Reporting, report_options
from convnext_edge import export, quantize
from convnext_edge.artifacts.artifact import Form
from convnext_edge.cpu import Machine
from convnext_edge.targets.registry import find_target

RUNTIMES = ("onnxruntime", "openvino")
MODELS = ("demo", "tiny")
NAMES = {"demo": "demo", "tiny": "ConvNeXt-T"}
SAMPLES = 16  # images to calibrate with: what is executed does not depend on it
HERE: Machine = "aarch64"
SPLIT_ON = "asimddp"


def write_fp32(model: str, runtime: str, form: Form, workspace: Path) -> Path:
    """The FP32 model in a form, which the product writes of FP32 for its targets on x86-64 alone."""
    path = workspace / f"{model}-fp32-{form}.onnx"
    if not path.exists():
        with patch.object(find_target(runtime), "form", form):
            random = model != "demo"
            export(model, random_weights=random, target=runtime, workspace=workspace, output=path)
    return path


def write_int8(model: str, runtime: str, machine: Machine, workspace: Path) -> Path:
    path = workspace / f"{model}-int8-{runtime}-{machine}.onnx"
    if not path.exists():
        exported = export(model, random_weights=model != "demo", workspace=workspace).artifact
        quantize(
            exported,
            calib="demo",
            samples=SAMPLES,
            target=runtime,
            machine=machine,
            timing=False,
            workspace=workspace,
            output=path,
        )
    return path


def candidates(model: str, runtime: str, workspace: Path) -> Iterator[tuple[str, Form, Path]]:
    """Precision, form and file of all that is counted of a model in a runtime."""
    target = find_target(runtime)
    before, after = target.int8_form("x86-64"), target.int8_form(HERE)
    for form in (before, after):
        yield "fp32", form, write_fp32(model, runtime, form, workspace)
    machines: tuple[tuple[Form, Machine], ...] = ((before, "x86-64"), (after, HERE))
    for form, machine in machines:
        yield "int8", form, write_int8(model, runtime, machine, workspace)


@dataclass(frozen=True)
class Candidate:
    """A model that is counted: its program, what the report calls it, and its file."""

    program: Program
    named: dict[str, str]
    path: Path

    def counted(self, cpu: str) -> dict[str, Any]:
        """The row of one CPU."""
        counts = self.program.count_image(self.path, cpu)
        total = sum(counts.values())
        print(*self.named.values(), cpu, f"{total / 1e6:.1f} million", flush=True)
        return {**self.named, "cpu": cpu, "instructions": total, "by_class": counts}

    def split(self) -> list[dict[str, Any]]:
        """A row for each operator, the largest first, on the CPU with dot products."""
        found = self.program.count_operators(self.path, SPLIT_ON)
        largest = sorted(found.counts.items(), key=lambda pair: -sum(pair[1].values()))
        return [
            {**self.named, "operator": operator, "nodes": found.nodes[operator], "by_class": counts}
            for operator, counts in largest
        ]


def prepare(program: Program, models: Sequence[str], workspace: Path) -> Iterator[Candidate]:
    for model in models:
        for precision, form, path in candidates(model, program.runtime, workspace):
            named = {"model": NAMES[model], "runtime": program.runtime, "precision": precision, "form": form}
            yield Candidate(program, named, path)


def check(rows: list[dict[str, Any]]) -> Iterator[Bar]:
    """ConvNeXt-T in INT8 in the best runtime, over FP32 as that runtime's users get it."""
    counted = [row for row in rows if (row["model"], row["cpu"]) == (NAMES["tiny"], SPLIT_ON)]
    if not counted:
        return
    best = min((row for row in counted if row["precision"] == "int8"), key=lambda row: row["instructions"])
    same = [row for row in counted if (row["runtime"], row["precision"]) == (best["runtime"], "fp32")]
    exported = next(row for row in same if row["form"] == find_target(best["runtime"]).form)
    ratio = best["instructions"] / exported["instructions"]
    yield Bar(
        f"ConvNeXt-T INT8 in {best['runtime']} over its FP32, executed instructions", ratio, at_most=0.45
    )


@click.command()
@click.option(
    "--model", "models", multiple=True, type=click.Choice(MODELS), default=MODELS, show_default=True
)
@click.option("--runtime", "runtimes", multiple=True, type=click.Choice(RUNTIMES), default=RUNTIMES)
@click.option("--cpu", "cpus", multiple=True, type=click.Choice(list(CPUS)), default=("asimddp",))
@click.option("--operators/--no-operators", "split", default=True, help="Split INT8 by operator, too.")
@click.option(
    "--jobs", default=2, show_default=True, help="Emulators at once; their counts do not differ for it."
)
@click.option(
    "--place", type=click.Path(path_type=Path), help="Folder for libraries and models, to keep them."
)
@report_options
def main(
    models: tuple[str, ...],
    runtimes: tuple[str, ...],
    cpus: tuple[str, ...],
    split: bool,
    jobs: int,
    place: Path | None,
    reporting: Reporting,
) -> None:
    """Count what an image of each model executes on emulated ARM CPUs."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        place = place or Path(folder)
        found = [
            candidate
            for runtime in runtimes
            for candidate in prepare(build_program(runtime, place / runtime), models, place / runtime)
        ]
        rows = list(pool.map(lambda pair: pair[0].counted(pair[1]), product(found, cpus)))
        quantized = [candidate for candidate in found if candidate.named["precision"] == "int8"]
        by_operator = list(pool.map(Candidate.split, quantized)) if split else []
    measured = {
        **simulated_on(cpus),
        "rows": rows,
        "operators": [row for rows in by_operator for row in rows],
    }
    reporting.finish("arm64", measured, check(rows))


if __name__ == "__main__":
    main()
