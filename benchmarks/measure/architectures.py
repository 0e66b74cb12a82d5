"""What INT8 gains on timm's `_ols` and `_rms` models, against the plain models of the same size.

    python -m benchmarks.measure.architectures

A stem of two overlapping convolutions and a norm other than LayerNorm must not cost what INT8 gains: the
ratio of INT8 to the runtime's own FP32 is held against that of the plain model. Random weights and few
calibration images, as speed depends on neither. Each model has a process of its own, and all take turns call
by call, as in `latency.py`. `kernels` counts the products that the runtime computes in INT8, of all.

Held against each other are milliseconds of CPU. With one thread, a call takes as many where nothing else
runs; where something does, the clock on the wall tells of that more than of the model. It is reported too.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from safetensors.torch import save_file

from benchmarks.support.reports import Bar, Reporting, report_options
from benchmarks.support.turns import REFERENCE, Contender, summarize, take_turns
from convnext_edge import build, export, quantize
from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.sizes import SIZES
from convnext_edge.evaluation.timing import DRAWS
from convnext_edge.network.convnext import random_model
from convnext_edge.targets.openvino import OpenVINOSession

CALIBRATION = 16
WALL, CPU = 0, 2  # columns of what `take_turns` returns
# By name: the architecture, and the plain one that it is held against.
PAIRS = {"atto_ols": "atto", "atto_rms": "atto", "zepto_rms": "zepto"}
ARCHITECTURES = {
    "atto": SIZES["atto"],
    "atto_ols": SIZES["atto_ols"],
    "atto_rms": replace(SIZES["atto"], norm="rmsnorm", norm_bias=False),
    "zepto": replace(SIZES["zepto_rms"], norm="layernorm", norm_bias=True),
    "zepto_rms": SIZES["zepto_rms"],
}
INT8_PRODUCTS = ("MatMulInteger", "MatMulIntegerToFloat", "QLinearConv", "QLinearMatMul", "QGemm")
FLOAT_PRODUCTS = ("Conv", "FusedConv", "MatMul", "FusedMatMul", "Gemm")


def make(name: str, architecture: Architecture, target: str, folder: Path) -> dict[str, Path]:
    """Export and quantize a model of random weights; return the FP32 and the INT8 file."""
    checkpoint = folder / f"{name}.safetensors"
    if not checkpoint.exists():
        save_file(random_model(architecture, 0).state_dict(), checkpoint)
    options: dict[str, Any] = {"norm": "simplenorm"} if architecture.norm == "simplenorm" else {}
    workspace = folder / "work"
    plain = export(checkpoint=checkpoint, resolution=224, target=target, workspace=workspace, **options)
    int8 = quantize(
        plain.artifact,
        calib="demo",
        samples=CALIBRATION,
        target=target,
        timing=False,
        min_calibration_sqnr=0,
        workspace=workspace,
    )
    return {"FP32": plain.artifact, "INT8": int8.artifact}


def kernels(target: str, model: Path, folder: Path) -> dict[str, int]:
    """Count the products that the runtime computes in INT8, and all."""
    if target == "openvino":
        with OpenVINOSession(model, 1) as session:
            found = [kind for layer, kind in session.kernels() if layer in ("Convolution", "FullyConnected")]
        return {"int8": sum(kind.lower().endswith("i8") for kind in found), "all": len(found)}
    engine = build(model, target=target, workspace=folder / "engines").engine
    graph = onnx.load(engine).graph
    # weights of sums in norms, which are no products of layers
    columns = {tensor.name for tensor in graph.initializer if [*tensor.dims][2:] == [1]}
    operators = [
        node.op_type for node in graph.node if node.op_type != "MatMul" or node.input[1] not in columns
    ]
    int8 = sum(operator in INT8_PRODUCTS for operator in operators)
    return {"int8": int8, "all": int8 + sum(operator in FLOAT_PRODUCTS for operator in operators)}


def gains(times: dict[str, np.ndarray], column: int) -> dict[str, dict[str, Any]]:
    """The median FP32 call over the median INT8 call of each model, and that over the plain model's.

    column: of `times`, WALL or CPU. The 95 % intervals are bootstrapped over rounds, all models of a round
    together.
    """
    runs = len(next(iter(times.values())))
    drawn = np.random.default_rng(0).integers(0, runs, (DRAWS, runs))
    drawn = np.vstack([np.arange(runs), drawn])  # the first is what was measured

    def gain(name: str) -> np.ndarray:
        slow, fast = (np.median(times[f"{name} {kind}"][drawn, column], axis=1) for kind in ("FP32", "INT8"))
        return np.asarray(slow / fast)

    rows: dict[str, dict[str, Any]] = {name: {"gain": with_interval(gain(name))} for name in ARCHITECTURES}
    for name, plain in PAIRS.items():
        rows[name]["over plain"] = with_interval(gain(name) / gain(plain))
    return rows


def with_interval(drawn: np.ndarray) -> dict[str, Any]:
    """A ratio, which comes first, and its 95 % interval from bootstrap samples, (1 + DRAWS,)."""
    low, high = np.percentile(drawn[1:], (2.5, 97.5))
    return {"ratio": round(float(drawn[0]), 3), "ci95": [round(float(low), 3), round(float(high), 3)]}


def measure(target: str, runs: int, folder: Path) -> dict[str, Any]:
    """Time all models on one target, and count kernels."""
    made = {name: make(name, known, target, folder) for name, known in ARCHITECTURES.items()}
    named = {f"{name} {kind}": path for name, files in made.items() for kind, path in files.items()}
    contenders = {name: Contender(target, path) for name, path in named.items()}
    first = next(iter(contenders))
    times = take_turns(contenders, 1, runs)
    return {
        "models": summarize({REFERENCE: times[first], **times}),
        "gains": gains(times, CPU),
        "gains on the wall": gains(times, WALL),
        "kernels": {name: kernels(target, files["INT8"], folder) for name, files in made.items()},
    }


@click.command()
@click.option("--runs", default=60, show_default=True, help="Timed calls of each.")
@report_options
def main(runs: int, reporting: Reporting) -> None:
    """Time INT8 against FP32 on models with other stems and norms, and on the plain ones."""
    with tempfile.TemporaryDirectory() as scratch:
        tables = {
            f"1, {target}": measure(target, runs, Path(scratch)) for target in ("openvino", "onnxruntime")
        }
    bars = []
    for threads, table in tables.items():
        for name, plain in PAIRS.items():
            share = table["gains"][name]["over plain"]["ratio"]
            bars.append(Bar(f"{threads}: gain of {name} over that of {plain}", share, at_least=1.0))
    measured = {"model": "random weights, 224, batch 1", "runs": runs, "tables": tables}
    reporting.finish("architectures", measured, bars)


if __name__ == "__main__":
    main()
