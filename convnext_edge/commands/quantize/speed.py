"""Is INT8 faster here than FP32? The written file timed against its own graph without Q/DQ, on the target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.files import temporary_folder
from convnext_edge.artifacts.store import write_artifact
from convnext_edge.cpu import Machine, this_machine
from convnext_edge.evaluation.load import watched_load
from convnext_edge.evaluation.timing import Ratio, affordable, doubt, interleave, times_as_fast
from convnext_edge.images.noise import noise
from convnext_edge.images.transform import as_reference_takes
from convnext_edge.network.convnext import ConvNeXt
from convnext_edge.network.threads import operator_threads
from convnext_edge.onnx_graph.files import load, save
from convnext_edge.onnx_graph.qdq import drop_quantization
from convnext_edge.progress import note, phase
from convnext_edge.targets.base import Target
from convnext_edge.targets.torch import TorchSession

SECONDS = 5.0  # of timing: enough to tell a few per cent on ConvNeXt-T
ATTEMPTS = 3  # to find the machine quiet
THREADS = 1  # what a machine does besides disturbs one thread least


@dataclass(frozen=True)
class Speed:
    """How many times as fast INT8 is as FP32."""

    over_fp32: Ratio  # on the target
    over_reference: Ratio  # in PyTorch
    doubt: str = ""  # why neither is to be relied on
    precision: str = "INT8"  # of the model that was timed

    @property
    def slower(self) -> bool:
        """Whether the whole interval lies below 1; what noise can explain is no failure."""
        return self.over_fp32.high < 1

    @property
    def advice(self) -> str:
        """What to ship."""
        if self.doubt:
            return "time it on a quiet machine"
        if self.over_fp32.low > 1:
            return f"ship {self.precision}"
        return "ship FP32" if self.slower else f"ship {self.precision} for its size only"

    def figures(self) -> dict[str, Any]:
        """Return the fields of the result."""
        return {
            "speedup_over_fp32": self.over_fp32.value,
            "speedup_over_fp32_ci95": (self.over_fp32.low, self.over_fp32.high),
            "speedup": self.over_reference.value,
            "speedup_ci95": (self.over_reference.low, self.over_reference.high),
            "reliable": not self.doubt,
            "doubt": self.doubt,
            "advice": self.advice,
        }


@phase("timing against FP32")
def measure_speed(artifact: Artifact, reference: ConvNeXt, target: Target) -> Speed | None:
    """Time single images on one thread, the three models in turn; None where the target does not run here."""
    why = why_not(target, artifact.description.machine)
    if why:
        note(f"not timed against FP32: {why}")
        return None
    described = artifact.description
    images = noise(described.preprocessing.shape, described.input_type, batch=1)
    normalized = as_reference_takes(images, described.preprocessing)
    torch = TorchSession(reference, THREADS)
    with temporary_folder() as folder:
        plain = write_unquantized(artifact, folder / "fp32.onnx")
        with (
            target.open_session(plain, threads=THREADS) as fp32,
            target.open_session(artifact, threads=THREADS) as int8,
        ):
            calls = (lambda: torch.run(normalized), lambda: fp32.run(images), lambda: int8.run(images))
            return time_until_reliable(calls, described.precision.upper())


def time_until_reliable(calls: tuple[Callable[[], object], ...], precision: str) -> Speed:
    """Time the reference, FP32 and a model of a precision; again, a few times, where the machine is busy."""
    for attempt in range(ATTEMPTS):
        with watched_load() as load, operator_threads(THREADS):
            columns = interleave(calls, affordable(calls, SECONDS))
        reference_ms, fp32_ms, int8_ms = columns
        why = doubt(columns, load, threads=THREADS)
        if not why:
            break
        if attempt == 0:
            note(f"timing is not to be relied on: {why}; timing up to {ATTEMPTS - 1} times more")
    return Speed(times_as_fast(fp32_ms, int8_ms), times_as_fast(reference_ms, int8_ms), why, precision)


def why_not(target: Target, machine: Machine | None) -> str:
    """Return why timing on this target here would say nothing; empty where it would.

    machine: that the model was made for; None where that makes no difference.
    """
    if machine not in (None, this_machine()):
        return f"the model is for {machine}, which this machine is not"
    if not target.has_int8_kernels:
        return f"{target.name} computes INT8 in float"
    if target.for_other_machines:
        return f"engines for {target.name} run on other machines than this"
    found = target.availability()
    return "" if found.can_run else f"{target.name} does not run here ({found.remedy})"


def write_unquantized(artifact: Artifact, path: Path) -> Artifact:
    """Write the graph of an INT8 file in FP32, as the target's own FP32 model runs."""
    model = load(artifact.path)
    drop_quantization(model)
    description = replace(artifact.description, precision="fp32", method=None, parent=artifact.link)
    return write_artifact(path, description, lambda file: save(model, file))
