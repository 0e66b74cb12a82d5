"""What a quantized model has to hold: the gates that were set, and why not to rely on it."""

from __future__ import annotations

import shlex

from convnext_edge.artifacts.artifact import Verdict
from convnext_edge.commands.quantize.gate import Gated
from convnext_edge.commands.quantize.speed import Speed
from convnext_edge.evaluation.calibration_check import CalibrationSample
from convnext_edge.progress import note
from convnext_edge.quantization.job import Job
from convnext_edge.tasks import Task

# At least, of SQNR on its own calibration images: what is under it answers otherwise than FP32.
SHIPPED_DB = 20.0


def judge(
    job: Job,
    sample: CalibrationSample,
    sqnr_db: float | None,
    *,
    min_db: float,
    speed: Speed | None,
    gated: Gated | None,
) -> Verdict:
    """Return how the model did at the gates that were set.

    sqnr_db: on the calibration images. min_db: what it must reach, 0 for no gate. speed: None where it is
    no gate.
    """
    silent = silence(sample, job.source.task, sqnr_db)
    close = float("-inf") if silent else float("inf") if sqnr_db is None else sqnr_db
    faults: dict[str, str] = {}  # of each gate, why it is not met; empty where it is
    if min_db > 0:
        faults["calibration"] = "" if close >= min_db else too_far(silent, sqnr_db, min_db)
    if speed is not None and is_decided(speed):
        faults["speed"] = "" if is_fast_enough(speed, job) else f"slower than FP32 on {job.target}"
    if gated is not None:
        faults |= gated.judgement.faults
    return Verdict(
        passed=not any(faults.values()),
        gates=tuple(faults),
        unmet=tuple(f"{gate} ({fault})" for gate, fault in faults.items() if fault),
        warnings=(
            *sample.concerns,
            *(gated.judgement.warnings if gated else ()),
            *([] if close >= SHIPPED_DB else [not_to_ship(silent, sqnr_db)]),
        ),
    )


def silence(sample: CalibrationSample, task: Task, sqnr_db: float | None) -> str:
    """Return why the calibration images tell nothing of how close the model is; empty where they do."""
    if sample.empty:
        return "the images carry nothing"
    if task == "detect" and sqnr_db is None:
        return "neither model finds anything in the images"
    return ""


def too_far(silent: str, sqnr_db: float | None, min_db: float) -> str:
    """Say why the gate on the calibration images is not met. silent: as of `silence`."""
    return silent or f"{sqnr_db:.1f} dB of SQNR, {min_db:g} wanted"


def not_to_ship(silent: str, sqnr_db: float | None) -> str:
    """Say that a model should not be shipped, and why. silent: as of `silence`."""
    if silent:
        return f"{silent}, by which it was calibrated: do not ship this model"
    return f"{sqnr_db:.1f} dB on its own calibration images is far from FP32: do not ship this model"


def is_decided(speed: Speed) -> bool:
    """Return whether the machine was quiet enough to tell which is faster; a note says where it was not."""
    if speed.doubt:
        note("the gate on speed is not decided: the machine is busy. Benchmark it later")
    return not speed.doubt


def is_fast_enough(speed: Speed, job: Job) -> bool:
    """Return whether INT8 is not slower than FP32; where it is, a note says how to make the faster engine."""
    if not speed.slower:
        return True
    command = f"convnext-edge build {shlex.quote(str(job.start.artifact.path))} --target {job.target}"
    note(f"{speed.precision} is slower than FP32 on {job.target} here. Take FP32: {command}")
    return False
