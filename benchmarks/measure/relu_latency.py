"""How much faster ConvNeXt-T in INT8 is with ReLU than with GELU, in OpenVINO with one thread.

    python -m benchmarks.measure.relu_latency

Random weights and few calibration images, as speed depends on neither. Each model has a process of its
own, and the two take turns call by call, as in `latency.py`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from benchmarks.support.reports import Bar, Reporting, report_options
from benchmarks.support.turns import REFERENCE, Contender, ratio, summarize, take_turns
from convnext_edge import export, quantize
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.finetune.run import with_relu_in
from convnext_edge.commands.preparation import Given, Images, prepare_job
from convnext_edge.quantization.ptq import quantize_ptq

TARGET = "openvino"
CALIBRATION = 16
FASTER = 1 / 0.9  # at least 10 % less time
GELU, RELU = REFERENCE, "ReLU"  # in turns, the reference is what others are held against


def make_relu(plain: Path, workspace: Workspace) -> Path:
    """Quantize the same model with ReLU, as `finetune --activation relu` begins with it."""
    job = prepare_job(
        Given(plain, None),
        images=Images("demo", CALIBRATION, None),
        target=TARGET,
        recipe=None,
        workspace=workspace,
        seed=0,
    )
    job = with_relu_in(job)
    return job.write(
        quantize_ptq(job), "ptq", output=workspace.folder / "relu.onnx", workspace=workspace
    ).path


@click.command()
@click.option("--runs", default=40, show_default=True, help="Timed calls of each.")
@report_options
def main(runs: int, reporting: Reporting) -> None:
    """Time ConvNeXt-T in INT8 with GELU and with ReLU, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.at(folder)
        plain = export("tiny", random_weights=True, workspace=workspace.folder).artifact
        made = quantize(plain, calib="demo", samples=CALIBRATION, target=TARGET, workspace=workspace.folder)
        relu = make_relu(plain, workspace)
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
