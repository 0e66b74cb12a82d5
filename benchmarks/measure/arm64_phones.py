"""What an image executes in the runtimes for phones, on emulated 64-bit ARM: instructions, by class.

    MOBILE=.venv-mobile python -m benchmarks.measure.arm64_phones

ExecuTorch, LiteRT and ONNX Runtime's format for phones, FP32 and INT8, as `arm64` counts them. The engines
are built in the environments of `make test-mobile`. Of each, the answers under QEMU are held against those of
ONNX Runtime here for the FP32 model: what is counted is the whole of the model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnxruntime

from benchmarks.measure.arm64 import MODELS, NAMES, SPLIT_ON, write_int8
from benchmarks.support.arm64_programs import Program, build_program
from benchmarks.support.counting import CPUS, simulated_on
from benchmarks.support.mobile import build_there, version_there
from benchmarks.support.reports import Bar, Reporting, decibels, report_options, sqnr_of_images
from convnext_edge import build, export
from convnext_edge.artifacts.artifact import Form
from convnext_edge.cpu import Machine
from convnext_edge.targets.registry import find_target

PRECISIONS = ("fp32", "int8")
TARGETS = ("executorch", "litert", "ort-mobile")
LIBRARIES = {"ort-mobile": "onnxruntime"}  # of those that have another name than the target
HERE: Machine = "aarch64"
FP32_DB = 80.0  # to FP32 elsewhere: another order of sums, no other number


def write_model(model: str, target: str, precision: str, machine: Machine, workspace: Path) -> Path:
    if precision == "int8":
        return write_int8(model, target, machine, workspace)
    path = workspace / f"{model}-{precision}-{target}-{machine}.onnx"
    if not path.exists():
        export(model, random_weights=model != "demo", target=target, workspace=workspace, output=path)
    return path


def write_engine(model: Path, target: str) -> Path:
    engine = model.with_suffix(find_target(target).suffix)
    if target not in LIBRARIES:
        build_there(model, target, engine)
    elif not engine.exists():
        build(model, target=target, output=engine, workspace=engine.parent)
    return engine


def answer_here(model: Path) -> list[float]:
    """ONNX Runtime's answer for the image that the programs make."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (told,) = session.get_inputs()
    shape = [1, *told.shape[1:]]
    image = np.arange(np.prod(shape), dtype=np.float32) % 97 / np.float32(97) - np.float32(0.5)
    found: list[float] = session.run(None, {told.name: image.reshape(shape)})[0].ravel().tolist()
    return found


@dataclass(frozen=True)
class Candidate:
    """An engine that is counted: its program, what the report calls it, its file, and FP32's answer."""

    program: Program
    named: dict[str, str]
    path: Path
    wanted: list[float]

    def counted(self, cpu: str) -> dict[str, Any]:
        """The row of one CPU."""
        counts, found = self.program.count_and_answer(self.path, cpu)
        (closeness,) = sqnr_of_images(np.array([self.wanted]), np.array([found]))
        total = sum(counts.values())
        print(*self.named.values(), cpu, f"{total / 1e6:.1f} million, {closeness:.1f} dB", flush=True)
        sizes = {"engine_bytes": self.path.stat().st_size, "sqnr_db": decibels(closeness)}
        return {**self.named, "cpu": cpu, "instructions": total, **sizes, "by_class": counts}


def prepare(model: str, target: str, precisions: Sequence[str], place: Path) -> Iterator[Candidate]:
    library = LIBRARIES.get(target, target)
    program = build_program(library, place / library)
    found = find_target(target)
    wanted = answer_here(write_model(model, target, "fp32", HERE, place))
    for form, precision, machine in which(target):
        if precision not in precisions:
            continue
        engine = write_engine(write_model(model, target, precision, machine, place), target)
        named = {"model": NAMES[model], "runtime": found.name, "precision": precision, "form": form}
        yield Candidate(program, named, engine, wanted)


def which(target: str) -> Iterator[tuple[Form, str, Machine]]:
    """Form, precision and machine of all that is counted of a model: INT8 in the forms that can be had."""
    found = find_target(target)
    yield found.form, "fp32", HERE
    machines: tuple[Machine, ...] = ("x86-64", HERE) if found.differs_by_machine else (HERE,)
    for machine in machines:
        yield found.int8_form(machine), "int8", machine


def check(rows: list[dict[str, Any]]) -> Iterator[Bar]:
    """INT8 executes less than FP32 in the same runtime, and FP32 answers as elsewhere."""
    lowest = min((row["sqnr_db"] for row in rows if row["precision"] == "fp32"), default=None)
    yield Bar("answers of FP32 on ARM64 to those here, dB, the lowest", lowest, at_least=FP32_DB)
    counted = [row for row in rows if (row["model"], row["cpu"]) == (NAMES["tiny"], SPLIT_ON)]
    for target in dict.fromkeys(row["runtime"] for row in counted):
        found = {row["precision"]: row["instructions"] for row in counted if row["runtime"] == target}
        if found.keys() >= {"fp32", "int8"}:  # of INT8 in several forms, the last is that for ARM64
            name = f"ConvNeXt-T INT8 in {target} over its FP32, executed instructions"
            yield Bar(name, found["int8"] / found["fp32"], at_most=0.6)


def key_of(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(row[key] for key in ("model", "runtime", "precision", "form", "cpu"))


@click.command()
@click.option("--model", "models", multiple=True, type=click.Choice(MODELS), default=MODELS)
@click.option("--target", "targets", multiple=True, type=click.Choice(TARGETS), default=TARGETS)
@click.option("--precision", "precisions", multiple=True, type=click.Choice(PRECISIONS), default=PRECISIONS)
@click.option("--cpu", "cpus", multiple=True, type=click.Choice(list(CPUS)), default=(SPLIT_ON,))
@click.option("--jobs", default=2, show_default=True, help="Emulators at once.")
@click.option(
    "--place", type=click.Path(path_type=Path), help="Folder for libraries and models, to keep them."
)
@report_options
def main(
    models: tuple[str, ...],
    targets: tuple[str, ...],
    precisions: tuple[str, ...],
    cpus: tuple[str, ...],
    jobs: int,
    place: Path | None,
    reporting: Reporting,
) -> None:
    """Count what an image of each model executes; the report keeps the rows of what is not counted now."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        place = place or Path(folder)
        found = [
            candidate
            for model, target in product(models, targets)
            for candidate in prepare(model, target, precisions, place)
        ]
        rows = list(pool.map(lambda pair: pair[0].counted(pair[1]), product(found, cpus)))
    again = {key_of(row) for row in rows}
    before = reporting.earlier("arm64_phones").get("rows", [])
    rows = [*(row for row in before if key_of(row) not in again), *rows]
    packages = {"executorch": "executorch", "litert": "ai-edge-litert"}
    measured = {
        **simulated_on(cpus),
        "runtimes": {name: version_there(name, package) for name, package in packages.items()},
        "rows": rows,
    }
    reporting.finish("arm64_phones", measured, check(rows))


if __name__ == "__main__":
    main()
