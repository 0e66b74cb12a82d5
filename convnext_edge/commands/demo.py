"""The command `demo`: all steps offline, with the model and the images that come with the package."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.benchmark.command import benchmark
from convnext_edge.commands.benchmark.result import Benchmark
from convnext_edge.commands.build import build
from convnext_edge.commands.declaration import Option, command
from convnext_edge.commands.export import export
from convnext_edge.commands.options import WorkspaceFolder
from convnext_edge.commands.quantize.command import quantize
from convnext_edge.commands.result import Result
from convnext_edge.commands.text import MIB, WIDTH, broken_into_lines, command_line, table
from convnext_edge.commands.validate.command import validate
from convnext_edge.commands.validate.result import Validate
from convnext_edge.progress import note
from convnext_edge.targets.registry import ON_CPUS

Shown = Literal["classify", "segment", "detect"]
UNTOLD = "-"
INDENT = 8  # columns before the command that draws


class Figure(NamedTuple):
    """A figure that is told of the answers of both models: its name, and what `validate` calls it of each."""

    title: str
    reference: str
    candidate: str


@dataclass(frozen=True)
class Model:
    """A model that comes with the package, under the name that its images have, too."""

    name: str
    figures: tuple[Figure, ...]
    max_drop: float  # points of the first of these, or of the one that lost more
    min_agreement: float  # of images, of pixels, or of detections
    min_sqnr_db: float
    runs: int = 200  # a call takes about a millisecond
    needs_coco: bool = False  # whether the figures are told by pycocotools alone


MODELS: dict[Shown, Model] = {
    "classify": Model("demo", (Figure("top-1", "reference_top1", "candidate_top1"),), 0.3, 0.993, 35.0),
    "segment": Model("demo_segment", (Figure("mIoU", "miou_reference", "miou"),), 0.3, 0.99, 25.0),
    "detect": Model(
        "demo_detect",
        (Figure("box AP", "box_ap_reference", "box_ap"), Figure("mask AP", "mask_ap_reference", "mask_ap")),
        0.5,
        0.95,
        15.0,
        runs=50,  # a call of the reference takes 50 milliseconds
        needs_coco=True,
    ),
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
        from convnext_edge.evaluation.coco_ap import INSTALL, PACKAGE

        figures = MODELS[self.task].figures
        header = ("target", *(figure.title for figure in figures), "agreement", "SQNR", "speedup", "engine")
        reference = (
            "PyTorch FP32",
            *(_told(self, figure.reference) for figure in figures),
            "",
            "",
            "1.0x",
            "",
        )
        rows = [
            (
                f"{row.target} INT8",
                *(_told(row, figure.candidate) for figure in figures),
                f"{row.agreement:.1%}",
                f"{row.sqnr_db:.1f} dB",
                f"{row.speedup:.1f}x" + ("" if row.reliable else " ?"),
                f"{row.bytes / MIB:.1f} MiB",
            )
            for row in self.rows
        ]
        verdict = "passed" if self.passed else "NOT passed"
        untold = f"\n{UNTOLD} not told, and no gate is on it: it needs {PACKAGE} ({INSTALL})"
        return (
            table([header, reference, *rows])
            + (untold if UNTOLD in reference else "")
            + f"\n{self.images} test images, one thread, {self.seconds:.0f} s: {verdict}"
            + ("" if self.reliable else "\n? NOT to be relied on: the machine was busy")
            + f"\nengine: {self.engine}"
            + (f"\nlook:   {self.look}" if self.look else "")
        )

    @property
    def look(self) -> str:
        """The command that draws what the engine sees in the test images; empty where nothing is drawn."""
        if self.task == "classify":
            return ""
        line = command_line("predict", self.engine, MODELS[self.task].name, "--maps", "maps")
        return broken_into_lines(line, INDENT) if len(line) > WIDTH - INDENT else line

    def next_command(self) -> str:
        """Return what puts the engine into an application."""
        return command_line("embed", self.engine, "--lang", "cpp") if self.passed else ""


@command(example="convnext-edge demo")
def demo(
    *,
    task: Annotated[
        Shown, Option("A classifier of images, one of their pixels (UPerNet), or a detector (Mask R-CNN).")
    ] = "classify",
    workspace: WorkspaceFolder = None,
) -> Demo:
    """Run the whole way offline, on a small model of the package.

    A small ConvNeXt trained on CIFAR-10 is exported, quantized, built, validated and timed. Its weights, 256
    training images to calibrate with and 1,000 test images come with the package. task: `segment` takes a
    small UPerNet on its backbone, 128 pictures to calibrate with, and 200 with label maps; `detect` a small
    Mask R-CNN, 128 pictures, and 200 with boxes and masks. Without pycocotools, the average precision of
    these is not told, and no gate is on it.
    """
    started = time.perf_counter()
    space, model = Workspace.at(workspace).folder, MODELS[task]
    from convnext_edge.evaluation.coco_ap import is_installed

    told = not model.needs_coco or is_installed()
    exported = export(variant=model.name, workspace=space).artifact
    rows, checked = [], []
    for target in ON_CPUS:
        # `benchmark` times the engine
        quantized = quantize(exported, calib=model.name, target=target, timing=False, workspace=space)
        built = build(quantized.artifact, workspace=space)
        result = validate(
            built.engine,
            data=model.name,
            max_drop=model.max_drop if told else None,
            min_agreement=model.min_agreement,
            workspace=space,
        )
        speed = benchmark(built.engine, threads=1, runs=model.runs, workspace=space)
        checked.append(result)
        row = _row(result, built.bytes, speed, model.min_sqnr_db)
        rows.append(replace(row, passed=row.passed and quantized.passed))
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


def _told(result: Demo | DemoRow, name: str) -> str:
    """Return a figure as a percentage, by its name in a result or in its metrics."""
    figure = getattr(result, name, result.metrics.get(name))
    return UNTOLD if figure is None else f"{figure:.1%}"


def _row(result: Validate, size: int, speed: Benchmark, min_sqnr_db: float) -> DemoRow:
    sqnr_db = result.sqnr_db or float("inf")
    agreement = result.metrics.get("agreement") if result.agreement is None else result.agreement
    assert agreement is not None  # of all tasks
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
