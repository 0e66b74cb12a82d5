"""What quantizing ConvNeXt-T costs: seconds and peak memory, ours against NNCF's own PTQ on the same images.

    python -m benchmarks.measure.ptq_cost --calib imagenet_val --data-root DIR

Both start from the exported FP32 model with random weights, read and decode the images themselves, and
end with a written file: ours as `convnext_edge.quantize` does it, NNCF's as `nncf.quantize` with its
defaults. Each run is a fresh process, whose peak memory is the VmHWM that Linux keeps of it; imports are
not timed. The two take turns, and the fastest run of each counts: what else the machine does only adds.
CPU seconds are reported too, as they suffer less from a busy machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from benchmarks.support.reports import Bar, Reporting, report_options
from convnext_edge import export, quantize
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.commands.quantize.methods import find_method
from convnext_edge.evaluation.memory import peak_of_this_process
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.preprocessing import Preprocessing

TARGET = "openvino"
METHODS = ("ours", "nncf")
MAX_PEAK = 4 * 2**30


def quantize_ours(model: Path, calib: str, data_root: Path | None, samples: int) -> Callable[[], object]:
    return lambda: quantize(
        model,
        calib=calib,
        samples=samples,
        data_root=data_root,
        target=TARGET,
        timing=False,
        workspace=model.parent,
    )


def quantize_nncf(model: Path, calib: str, data_root: Path | None, samples: int) -> Callable[[], object]:
    from benchmarks.support.baselines import calibration_images, nncf_quantize

    preprocessing: Preprocessing = open_artifact(model).description.preprocessing

    def run() -> None:
        images = open_image_set(calib, data_root=data_root, split="calibration").subset(samples, seed=0)
        nncf_quantize(model, calibration_images(images, preprocessing), model.with_name("nncf.xml"))

    return run


def measure(method: str, model: Path, calib: str, data_root: Path | None, samples: int) -> dict[str, Any]:
    """In this process, which should have done nothing else."""
    find_method("ptq")  # imports what `quantize` would import while it is timed
    prepare = quantize_ours if method == "ours" else quantize_nncf
    run = prepare(model, calib, data_root, samples)
    started, cpu = time.perf_counter(), time.process_time()
    run()
    return {
        "seconds": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "peak_rss_bytes": peak_of_this_process(),
    }


def in_fresh_process(method: str, *arguments: object) -> dict[str, Any]:
    given = json.dumps([None if value is None else str(value) for value in arguments])
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.measure.ptq_cost", "--worker", method, given],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def work(method: str, given: str) -> None:
    model, calib, data_root, samples = json.loads(given)
    root = Path(data_root) if data_root else None
    print(json.dumps(measure(method, Path(model), calib, root, int(samples))))


@click.command()
@click.option("--calib", default="demo", show_default=True, help="Image set to calibrate with.")
@click.option("--data-root", type=click.Path(exists=True, path_type=Path), help="Where named sets are.")
@click.option("--samples", default=128, show_default=True, help="Images to calibrate with.")
@click.option("--runs", default=2, show_default=True, help="Runs of each method.")
@click.option("--worker", nargs=2, hidden=True, help="Measure one method here, and print it.")
@report_options
def main(
    calib: str,
    data_root: Path | None,
    samples: int,
    runs: int,
    worker: tuple[str, str] | None,
    reporting: Reporting,
) -> None:
    """Time and peak memory of post-training quantization, ours and NNCF's."""
    if worker:
        work(*worker)
        return
    with tempfile.TemporaryDirectory() as folder:
        model = export("tiny", random_weights=True, workspace=Path(folder)).artifact
        taken: dict[str, list[dict[str, Any]]] = {method: [] for method in METHODS}
        for _ in range(runs):
            for method in METHODS:
                taken[method].append(in_fresh_process(method, model, calib, data_root, samples))
    fastest = {method: min(rows, key=lambda row: row["seconds"]) for method, rows in taken.items()}
    peak = max(row["peak_rss_bytes"] for row in taken["ours"])
    bars = [
        Bar("seconds over those of NNCF", fastest["ours"]["seconds"] / fastest["nncf"]["seconds"], at_most=1),
        Bar("peak memory, bytes", peak, at_most=MAX_PEAK),
    ]
    measured = {"model": "tiny, random weights, 224", "calibration": calib, "samples": samples, "runs": taken}
    reporting.finish("ptq_cost", measured, bars)


if __name__ == "__main__":
    main()
