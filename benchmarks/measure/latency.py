"""Latency of ConvNeXt-T (random weights, 224, batch 1): ours, and what users of each runtime get without us.

    python -m benchmarks.measure.latency

Each model has a process of its own, and the processes take turns: see benchmarks/support/turns.py.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from benchmarks.support.reports import Bar, Reporting, report_options
from benchmarks.support.turns import REFERENCE, Contender, ratio, summarize, take_turns
from convnext_edge.cpu import read_cpu

CALIBRATION = 16  # images: speed does not depend on the ranges
OURS_OPENVINO, OURS_ORT = "ours in openvino", "ours in onnxruntime"
AHEAD = {1: 1.8, 2: 2.2}  # times as fast as NNCF, by number of threads
NNCF, STATIC = "nncf.quantize in openvino", "quantize_static in onnxruntime"


class Ours(NamedTuple):
    """ConvNeXt-T as we make it."""

    plain: Path  # its FP32 export
    weights: Path
    models: dict[str, Path]  # in INT8, ONNX
    contenders: dict[str, Contender]  # the engines of these


def make_ours(folder: Path, calib: str) -> Ours:
    from convnext_edge import build, export, quantize

    exported = export("tiny", random_weights=True, workspace=folder)
    models, contenders = {}, {}
    for name, target in ((OURS_OPENVINO, "openvino"), (OURS_ORT, "onnxruntime")):
        given: dict[str, Any] = {"calib": calib, "samples": CALIBRATION, "timing": False}
        models[name] = quantize(exported.artifact, target=target, workspace=folder, **given).artifact
        contenders[name] = Contender(target, build(models[name], workspace=folder).engine)
    return Ours(exported.artifact, exported.weights, models, contenders)


def make_contenders(folder: Path, calib: str) -> dict[str, Contender]:
    from benchmarks.support.baselines import calibration_images, nncf_quantize, ort_quantize
    from convnext_edge.artifacts.store import open_artifact
    from convnext_edge.images.opening import open_image_set

    ours = make_ours(folder, calib)
    plain = ours.plain
    preprocessing = open_artifact(plain).description.preprocessing
    drawn = open_image_set(calib, split="calibration").subset(CALIBRATION, seed=0)
    images = calibration_images(drawn, preprocessing)
    return {
        REFERENCE: Contender("torch", ours.weights),
        **ours.contenders,
        NNCF: Contender("openvino", nncf_quantize(plain, images, folder / "nncf.xml")),
        STATIC: Contender("onnxruntime", ort_quantize(plain, images, folder / "static.onnx")),
        "fp32 in openvino": Contender("openvino", plain),
        "fp32 in onnxruntime": Contender("onnxruntime", plain),
    }


def check(times: dict[str, np.ndarray], threads: int) -> Iterator[Bar]:
    """Bars of speed hold for CPUs without VNNI; where it is there, NNCF's kernels are fast ones too."""
    where = f"threads {threads}: "
    if read_cpu().int8_saturates:
        if threads == 1:
            speedup = ratio(times, REFERENCE, OURS_OPENVINO)["ratio"]
            yield Bar(f"{where}ours in openvino, times as fast as the reference", speedup, at_least=2.0)
        ahead = ratio(times, NNCF, OURS_OPENVINO)["ratio"]
        yield Bar(f"{where}ours in openvino, times as fast as {NNCF}", ahead, at_least=AHEAD[threads])
    level = ratio(times, STATIC, OURS_ORT)["ratio"]
    yield Bar(f"{where}ours in onnxruntime, times as fast as {STATIC}", level, at_least=1.0)


@click.command()
@click.option("--calib", default="demo", show_default=True, help="Image set to calibrate with.")
@click.option("--runs", default=30, show_default=True, help="Timed calls of each model.")
@click.option("--threads", type=click.Choice(["1", "2", "both"]), default="both", show_default=True)
@report_options
def main(calib: str, runs: int, threads: str, reporting: Reporting) -> None:
    """Time ConvNeXt-T of every kind, in turns."""
    counts = [1, 2] if threads == "both" else [int(threads)]
    bars: list[Bar] = []
    tables = {}
    with tempfile.TemporaryDirectory() as folder:
        contenders = make_contenders(Path(folder), calib)
        for count in counts:
            times = take_turns(contenders, count, runs)
            bars += check(times, count)
            tables[f"threads {count}"] = {
                "models": summarize(times),
                "ours in openvino against the reference": ratio(times, REFERENCE, OURS_OPENVINO),
                "ours in openvino against NNCF": ratio(times, NNCF, OURS_OPENVINO),
                "ours in onnxruntime against quantize_static": ratio(times, STATIC, OURS_ORT),
            }
    measured = {
        "model": "tiny, random weights, 224, batch 1",
        "runs": runs,
        "load_average": os.getloadavg(),
        "tables": tables,
    }
    reporting.finish("latency", measured, bars)


if __name__ == "__main__":
    main()
