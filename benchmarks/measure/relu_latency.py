"""How much faster ConvNeXt-T in INT8 is with ReLU than with GELU, in OpenVINO with one thread.

    python -m benchmarks.measure.relu_latency

Random weights and few calibration images, as speed depends on neither. Each model has a process of its
own, and the two take turns call by call, as in `latency.py`.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import click

from benchmarks.support.reports import Bar, Reporting, report_options
from benchmarks.support.turns import REFERENCE, Contender, ratio, summarize, take_turns
from convnext_edge import export, quantize
from convnext_edge.artifacts.store import open_artifact, write_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.source import open_source
from convnext_edge.commands.finetune.command import with_activation
from convnext_edge.images.opening import open_image_set
from convnext_edge.quantization.job import Job
from convnext_edge.quantization.ptq import quantize_ptq
from convnext_edge.targets.registry import find_target

TARGET = "openvino"
CALIBRATION = 16
FASTER = 1 / 0.9  # at least 10 % less time
GELU, RELU = REFERENCE, "ReLU"  # in turns, the reference is what others are held against


def make_relu(gelu: Path, workspace: Workspace) -> Path:
    """The same model with ReLU, as `finetune --activation relu` begins with it."""
    start = open_artifact(gelu)
    images = open_image_set("demo", split="calibration").subset(CALIBRATION, seed=0)
    source = with_activation(open_source(start, workspace), "relu", images)
    target = find_target(TARGET)
    job = Job(source, target.form, start.description.input_type, target.recipe, images)
    path = workspace.folder / "relu.onnx"
    description = replace(start.description, stem="relu")
    return write_artifact(path, description, quantize_ptq(job).write).path


@click.command()
@click.option("--runs", default=40, show_default=True, help="Timed calls of each.")
@report_options
def main(runs: int, reporting: Reporting) -> None:
    """Time ConvNeXt-T in INT8 with GELU and with ReLU, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.at(folder)
        plain = export("tiny", random_weights=True, workspace=workspace.folder).artifact
        made = quantize(plain, calib="demo", samples=CALIBRATION, target=TARGET, workspace=workspace.folder)
        relu = make_relu(made.artifact, workspace)
        contenders = {GELU: Contender(TARGET, made.artifact), RELU: Contender(TARGET, relu)}
        times = take_turns(contenders, 1, runs)
    found = ratio(times, GELU, RELU)
    bars = [Bar("threads 1: ReLU in openvino, times as fast as GELU", found["ratio"], at_least=FASTER)]
    names = {GELU: "GELU", RELU: RELU}
    measured = {
        "model": "tiny, INT8, random weights, 224, batch 1",
        "runs": runs,
        "tables": {
            "threads 1": {
                "models": {names[name]: row for name, row in summarize(times).items()},
                "ReLU against GELU": found,
            }
        },
    }
    reporting.finish("relu_latency", measured, bars)


if __name__ == "__main__":
    main()
