"""What `build --target tensorrt-rtx` makes of ConvNeXt, as far as it can be told without a GPU.

    python -m benchmarks.measure.rtx_engines

The report holds

engines      of each variant and precision: bytes of the engine, bytes of its weights (the builder's own
             figure), seconds and CPU seconds of the whole command, and how many layers are products of
             INT8 by INT8, of those that were quantized (the list of layers in the builder's log)
simulated    the demo model's INT8 graph in ONNX Runtime's reference arithmetic against FP32 PyTorch:
             what the engine is to compute, not what a GPU was seen to compute
bars         what the project promises of them

Nothing here was run on a GPU, and no latency is told. Weights are random, but for the demo model, whose
own are simulated; neither size nor build depends on them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from benchmarks.support.reports import Bar, Reporting, report_options
from convnext_edge import build, export, quantize, validate
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.targets.base import BuildOptions
from convnext_edge.targets.tensorrt import target as tensorrt
from convnext_edge.targets.tensorrt.builder import Log, build_plan

TARGET = "tensorrt-rtx"
VARIANTS = ("demo", "atto", "tiny", "base", "v2_tiny")
PRECISIONS = ("fp32", "fp16", "int8")
SAMPLES = 8  # calibration images: engines do not depend on their number
MAX_SECONDS = 30


def measure(fp32: Path, int8: Path, precision: str) -> dict[str, Any]:
    """Builds one engine by the command's own function, then reads the builder's log of the same graph."""
    model = int8 if precision == "int8" else fp32
    option = None if precision == "int8" else precision
    started, cpu = time.perf_counter(), time.process_time()
    engine = build(model, target=TARGET, precision=option, workspace=model.parent)  # type: ignore[arg-type]
    measured = {
        "seconds": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "engine_bytes": engine.bytes,
    }
    return {**measured, **read_log(model, option)}


def read_log(model: Path, precision: str | None) -> dict[str, Any]:
    module = import_module("tensorrt_rtx")
    log = Log(module)
    (part,) = tensorrt.TENSORRT_RTX.parts(model, precision)
    build_plan(module, part, BuildOptions(), log=log)
    products = {
        layer.name
        for layer in log.layers()
        if layer.inputs[:1] == ("Int8",) and layer.constants[:1] == ("Int8",)
    }
    quantized = open_artifact(model).description.quantized_layers
    return {
        "weight_bytes": log.weight_bytes(),
        "layers": len(log.layers()),
        "quantized_layers": len(quantized),
        "int8_products": len(products & set(quantized)),
    }


def engines(variant: str, workspace: Path) -> Iterator[dict[str, Any]]:
    fp32 = export(variant, random_weights=True, target=TARGET, workspace=workspace).artifact
    int8 = quantize(fp32, calib="demo", samples=SAMPLES, target=TARGET, workspace=workspace).artifact
    for precision in PRECISIONS:
        print("building:", variant, precision, file=sys.stderr)
        yield {"variant": variant, "precision": precision, **measure(fp32, int8, precision)}


def simulate(workspace: Path) -> dict[str, Any]:
    """The demo model with its own weights and images."""
    fp32 = export("demo", target=TARGET, workspace=workspace).artifact
    int8 = quantize(fp32, calib="demo", target=TARGET, workspace=workspace).artifact
    found = validate(int8, data="demo", target=TARGET, workspace=workspace)
    if not found.simulated:
        sys.exit("There is a GPU here: run `make test-gpu` and convnext-edge validate, not a simulation.")
    kept = ("images", "reference_top1", "candidate_top1", "drop_points", "drop_ci95_points", "agreement")
    return {
        "label": found.label,
        "data": found.data,
        **{name: getattr(found, name) for name in kept},
        "agreement_ci95": found.agreement_ci95,
        "sqnr_db": found.sqnr_db,
    }


def check(rows: list[dict[str, Any]], simulated: dict[str, Any]) -> Iterator[Bar]:
    by_name = {(row["variant"], row["precision"]): row for row in rows}
    int8 = [row for row in rows if row["precision"] == "int8"]
    tiny = by_name["tiny", "int8"]
    ratio = tiny["weight_bytes"] / by_name["tiny", "fp32"]["weight_bytes"]
    share = min(row["int8_products"] / row["quantized_layers"] for row in int8)
    yield Bar("engines built", len(rows), at_least=len(VARIANTS) * len(PRECISIONS))
    yield Bar("tiny: INT8 weights over FP32 weights", ratio, at_most=0.30)
    yield Bar("tiny INT8: seconds to build", tiny["seconds"], at_most=MAX_SECONDS)
    yield Bar("any variant: quantized layers that are products of INT8", share, at_least=1)
    yield Bar("demo, simulated: agreement", simulated["agreement"], at_least=0.99)
    yield Bar("demo, simulated: SQNR, dB", simulated["sqnr_db"], at_least=31)


@click.command()
@report_options
def main(reporting: Reporting) -> None:
    """Engines of TensorRT-RTX built ahead of time, and the demo's answers simulated."""
    rows: list[dict[str, Any]] = []
    for variant in VARIANTS:
        with tempfile.TemporaryDirectory() as folder:
            rows += engines(variant, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        simulated = simulate(Path(folder))
    measured = {
        "tensorrt_rtx": tensorrt.TENSORRT_RTX.version(),
        "engines": rows,
        "simulated": simulated,
    }
    reporting.finish("rtx_engines", measured, check(rows, simulated))


if __name__ == "__main__":
    main()
