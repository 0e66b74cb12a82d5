"""demo: the whole way on what comes with the package, offline."""

from __future__ import annotations

import time

from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.benchmark import benchmark
from convnext_edge.commands.build import build
from convnext_edge.commands.export import export
from convnext_edge.commands.quantize import quantize
from convnext_edge.commands.validate import validate
from convnext_edge.paths import AnyPath
from convnext_edge.progress import note
from convnext_edge.results import Demo, DemoRow, Validate

TARGETS = ("openvino", "onnxruntime")
MIN_AGREEMENT = 0.993
MAX_DROP = 0.3  # points
MIN_SQNR_DB = 35.0
RUNS = 200  # a call takes about a millisecond


def demo(*, workspace: AnyPath | None = None) -> Demo:
    """Export, quantize, build, validate and benchmark a small ConvNeXt trained on CIFAR-10.

    Its weights, 256 training images to calibrate with and 1,000 test images come with the package.
    """
    started = time.perf_counter()
    place = Workspace.at(workspace).folder
    exported = export("demo", workspace=place).artifact
    rows, checked = [], []
    for target in TARGETS:
        # `benchmark` times the engine
        quantized = quantize(exported, calib="demo", target=target, timing=False, workspace=place)
        built = build(quantized.artifact, workspace=place)
        result = validate(
            built.engine, data="demo", max_drop=MAX_DROP, min_agreement=MIN_AGREEMENT, workspace=place
        )
        speed = benchmark(built.engine, threads=1, runs=RUNS, workspace=place)
        checked.append(result)
        rows.append(_row(result, built.bytes, speed.speedup))
        note(f"{target}: agreement {result.agreement:.1%}, {speed.speedup:.1f}x the reference")
    first = rows[0]
    return Demo(
        reference_top1=checked[0].reference_top1 or 0.0,
        candidate_top1=first.candidate_top1,
        agreement=first.agreement,
        sqnr_db=first.sqnr_db,
        speedup=first.speedup,
        engine=first.engine,
        images=checked[0].images,
        seconds=round(time.perf_counter() - started, 1),
        passed=all(row.passed for row in rows),
        rows=tuple(rows),
    )


def _row(result: Validate, size: int, speedup: float) -> DemoRow:
    sqnr_db = result.sqnr_db or float("inf")
    return DemoRow(
        target=result.target,
        engine=result.artifact,
        bytes=size,
        candidate_top1=result.candidate_top1 or 0.0,
        agreement=result.agreement,
        sqnr_db=sqnr_db,
        speedup=speedup,
        passed=result.passed and sqnr_db >= MIN_SQNR_DB,
    )
