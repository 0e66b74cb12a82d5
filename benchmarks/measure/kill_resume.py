"""finetune killed (SIGKILL) at random moments, then resumed: does it end where an undisturbed run ends?

    python -m benchmarks.measure.kill_resume

One run of a small ConvNeXt is left alone. Then, for each of 20 moments drawn by a seed and spread evenly
over that run's time, from the start of the interpreter to the writing of the artifact, another run is
killed there and started again with `--resume`. It counts as finished where that ends with exit code 0,
and as identical where INT8 file and trained weights are those of the undisturbed run, bit by bit. A run
that is done before its moment comes is repeated with an earlier one: every moment is a kill.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.support.reports import Bar, Reporting, report_options
from convnext_edge import export
from convnext_edge.architecture import Architecture
from convnext_edge.network.convnext import ConvNeXt

SMALL = Architecture((1, 1, 2, 1), (16, 24, 32, 48), patch=2, classes=10)
OPTIONS = {"train": "demo", "data": "demo", "samples": 8, "steps": 150, "batch": 8, "save-every": 2}
ARTIFACT = "qat.onnx"


def make_model(folder: Path) -> Path:
    """FP32 model with random weights; the folder is what every run begins with."""
    torch.manual_seed(0)
    weights = folder / "small.pth"
    torch.save(ConvNeXt(SMALL).state_dict(), weights)
    return export(checkpoint=weights, resolution=32, workspace=folder).artifact


def command(folder: Path) -> list[str]:
    options = [part for key, value in OPTIONS.items() for part in (f"--{key}", str(value))]
    where = ["--workspace", str(folder), "-o", str(folder / ARTIFACT), "--resume"]
    return [sys.executable, "-m", "convnext_edge", "finetune", str(folder / "small.onnx"), *options, *where]


def finish(folder: Path) -> tuple[bool, float]:
    """Whether a run ends well, and its seconds."""
    started = time.perf_counter()
    done = subprocess.run(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        print(done.stderr.decode(), file=sys.stderr)
    return done.returncode == 0, time.perf_counter() - started


def kill_after(folder: Path, seconds: float) -> bool:
    """Whether the run was still there to be killed."""
    with subprocess.Popen(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            return process.wait(seconds) != 0
        except subprocess.TimeoutExpired:
            process.kill()
        return True


def digests(folder: Path) -> dict[str, str]:
    """Of the artifact, and of all that was trained."""
    student = torch.load(snapshot(folder), weights_only=True)["student"]
    trained = hashlib.sha256()
    for name, tensor in sorted(student.items()):
        trained.update(name.encode() + tensor.numpy().tobytes())
    artifact = hashlib.sha256((folder / ARTIFACT).read_bytes()).hexdigest()
    return {"artifact": artifact, "weights": trained.hexdigest()}


def snapshot(folder: Path) -> Path:
    return folder / "snapshots" / f"{ARTIFACT}.pt"


def step_of(folder: Path) -> int:
    """The step that a snapshot goes on with; 0 where there is none yet."""
    path = snapshot(folder)
    return int(torch.load(path, weights_only=True)["step"]) if path.exists() else 0


def trial(start: Path, folder: Path, moment: float, undisturbed: dict[str, str]) -> dict[str, Any]:
    """Kill a run `moment` seconds after its start, and resume it."""
    while True:
        shutil.copytree(start, folder)
        if kill_after(folder, moment):
            break
        shutil.rmtree(folder)
        moment *= 0.8
    step, written = step_of(folder), (folder / ARTIFACT).exists()
    finished, _ = finish(folder)
    identical = finished and digests(folder) == undisturbed
    shutil.rmtree(folder)
    return {
        "moment": round(moment, 3),
        "resumed_at_step": step,
        "artifact_written": written,
        "finished": finished,
        "identical": identical,
    }


@click.command()
@click.option("--kills", default=20, show_default=True)
@click.option("--seed", default=0, show_default=True)
@report_options
def main(kills: int, seed: int, reporting: Reporting) -> None:
    """Kill fine-tuning at random moments, and resume it."""
    generator = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        start, whole = Path(scratch) / "start", Path(scratch) / "undisturbed"
        start.mkdir()
        make_model(start)
        shutil.copytree(start, whole)
        finished, seconds = finish(whole)
        assert finished, "the undisturbed run failed"
        undisturbed = digests(whole)
        trials = []
        for number in range(kills):
            moment = seconds * (number + generator.random()) / kills  # one in each of as many slices
            trials.append(trial(start, Path(scratch) / "killed", moment, undisturbed))
            print(json.dumps(trials[-1]), file=sys.stderr)
    bars = [
        Bar("finished after the kill", sum(row["finished"] for row in trials), at_least=kills),
        Bar("identical to the undisturbed run", sum(row["identical"] for row in trials), at_least=kills),
        Bar("killed between two steps", sum(row["resumed_at_step"] > 0 for row in trials), at_least=1),
    ]
    measured = {"options": OPTIONS, "undisturbed_seconds": round(seconds, 2), "trials": trials}
    reporting.finish("kill_resume", measured, bars)


if __name__ == "__main__":
    main()
