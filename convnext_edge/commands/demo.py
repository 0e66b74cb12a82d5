"""The command `demo`: all steps offline, with the model and the images that come with the package."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.benchmark.command import benchmark
from convnext_edge.commands.benchmark.result import Benchmark
from convnext_edge.commands.build import build
from convnext_edge.commands.declaration import Option, command
from convnext_edge.commands.export import export
from convnext_edge.commands.options import WorkspaceFolder
from convnext_edge.commands.quantize.command import quantize
from convnext_edge.commands.result import Result
from convnext_edge.commands.text import MIB, command_line, table
from convnext_edge.commands.validate.command import validate
from convnext_edge.commands.validate.result import Validate
from convnext_edge.progress import note
from convnext_edge.targets.registry import ON_CPUS

MAX_DROP = 0.3  # points of top-1, or of the mIoU
RUNS = 200  # a call takes about a millisecond
Shown = Literal["classify", "segment"]


@dataclass(frozen=True)
class Model:
    """A model that comes with the package, under the name that its images have, too."""

    name: str
    figure: str  # what is told of its answers
    reference: str  # the metric of `validate` that holds it of the reference; empty for a field of its own
    candidate: str  # likewise of the candidate
    min_agreement: float  # of images, or of pixels
    min_sqnr_db: float


MODELS: dict[Shown, Model] = {
    "classify": Model("demo", "top-1", "", "", 0.993, 35.0),
    "segment": Model("demo_segment", "mIoU", "miou_reference", "miou", 0.99, 25.0),
}


@dataclass(frozen=True)
class DemoRow(Result):
    """An INT8 engine of one target against the FP32 PyTorch reference."""

    target: str
    engine: Path
    bytes: int
    candidate_top1: float | None  # None for another task
    agreement: float
    sqnr_db: float
    speedup: float
    speedup_ci95: tuple[float, float]
    reliable: bool  # the speedup
    passed: bool
    metrics: dict[str, float | None]  # of another task than classify, as of `validate`


@dataclass(frozen=True)
class Demo(Result):
    """The figures of the default target's engine, and those of every target in `rows`."""

    reference_top1: float | None  # None for another task, whose figures are in `metrics`
    candidate_top1: float | None
    agreement: float
    sqnr_db: float
    speedup: float
    speedup_ci95: tuple[float, float]
    reliable: bool  # the speedup
    engine: Path
    images: int
    seconds: float
    passed: bool
    rows: tuple[DemoRow, ...]
    task: Shown = "classify"
    metrics: dict[str, float | None] = field(default_factory=dict)  # as of the first row

    def summary(self) -> str:
        """Return a table with a line for each target."""
        model = MODELS[self.task]
        header = ("target", model.figure, "agreement", "SQNR", "speedup", "engine")
        first = self.reference_top1 if self.task == "classify" else self.metrics[model.reference]
        reference = ("PyTorch FP32", f"{first:.1%}", "", "", "1.0x", "")
        rows = [
            (
                f"{row.target} INT8",
                f"{row.candidate_top1 if self.task == 'classify' else row.metrics[model.candidate]:.1%}",
                f"{row.agreement:.1%}",
                f"{row.sqnr_db:.1f} dB",
                f"{row.speedup:.1f}x" + ("" if row.reliable else " ?"),
                f"{row.bytes / MIB:.1f} MiB",
            )
            for row in self.rows
        ]
        verdict = "passed" if self.passed else "NOT passed"
        return (
            table([header, reference, *rows])
            + f"\n{self.images} test images, one thread, {self.seconds:.0f} s: {verdict}"
            + ("" if self.reliable else "\n? NOT to be relied on: the machine was busy")
            + f"\nengine: {self.engine}"
        )

    def next_command(self) -> str:
        """Return what puts the engine into an application, or shows what it sees."""
        if not self.passed:
            return ""
        if self.task == "segment":
            return command_line("predict", self.engine, "demo_segment", "--maps", "maps")
        return command_line("embed", self.engine, "--lang", "cpp")


@command(example="convnext-edge demo")
def demo(
    *,
    task: Annotated[Shown, Option("A classifier of images, or of their pixels (UPerNet).")] = "classify",
    workspace: WorkspaceFolder = None,
) -> Demo:
    """Run the whole way offline, on a small model of the package.

    A small ConvNeXt trained on CIFAR-10 is exported, quantized, built, validated and timed. Its weights, 256
    training images to calibrate with and 1,000 test images come with the package. task: `segment` takes a
    small UPerNet on its backbone, 128 pictures to calibrate with, and 200 with label maps.
    """
    started = time.perf_counter()
    space, model = Workspace.at(workspace).folder, MODELS[task]
    exported = export(variant=model.name, workspace=space).artifact
    rows, checked = [], []
    for target in ON_CPUS:
        # `benchmark` times the engine
        quantized = quantize(exported, calib=model.name, target=target, timing=False, workspace=space)
        built = build(quantized.artifact, workspace=space)
        result = validate(
            built.engine,
            data=model.name,
            max_drop=MAX_DROP,
            min_agreement=model.min_agreement,
            workspace=space,
        )
        speed = benchmark(built.engine, threads=1, runs=RUNS, workspace=space)
        checked.append(result)
        rows.append(_row(result, built.bytes, speed, model.min_sqnr_db))
        note(f"{target}: agreement {rows[-1].agreement:.1%}, {speed.speedup:.1f}x the reference")
    first = rows[0]
    return Demo(
        task=task,
        metrics=first.metrics,
        reference_top1=checked[0].reference_top1,
        candidate_top1=first.candidate_top1,
        agreement=first.agreement,
        sqnr_db=first.sqnr_db,
        speedup=first.speedup,
        speedup_ci95=first.speedup_ci95,
        reliable=all(row.reliable for row in rows),
        engine=first.engine,
        images=checked[0].images,
        seconds=round(time.perf_counter() - started, 1),
        passed=all(row.passed for row in rows),
        rows=tuple(rows),
    )


def _row(result: Validate, size: int, speed: Benchmark, min_sqnr_db: float) -> DemoRow:
    sqnr_db = result.sqnr_db or float("inf")
    agreement = result.metrics.get("agreement") if result.agreement is None else result.agreement
    assert agreement is not None  # of both tasks
    assert speed.speedup is not None  # as it was timed here
    assert speed.speedup_ci95 is not None
    return DemoRow(
        target=result.target,
        engine=result.artifact,
        bytes=size,
        candidate_top1=result.candidate_top1,
        agreement=agreement,
        sqnr_db=sqnr_db,
        speedup=speed.speedup,
        speedup_ci95=speed.speedup_ci95,
        reliable=speed.reliable,
        passed=result.passed and sqnr_db >= min_sqnr_db,
        metrics=result.metrics,
    )
