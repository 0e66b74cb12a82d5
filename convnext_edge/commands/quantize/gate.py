"""--max-drop: layers go back to float, or get 16-bit activations, the costliest first, until it holds."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convnext_edge.artifacts.artifact import Artifact, Description, open_artifact, write_artifact
from convnext_edge.errors import UsageError
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.evaluation.timing import interleave
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.transform import as_reference_takes
from convnext_edge.onnx_graph.tracing import example_input
from convnext_edge.paths import AnyPath
from convnext_edge.progress import note, track
from convnext_edge.quantization.costs import layer_costs
from convnext_edge.quantization.job import BATCH, Job, Quantized
from convnext_edge.quantization.ptq import calibrate_job, quantize_calibrated
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.targets import Session, Target
from convnext_edge.targets.torch import TorchSession

COST_IMAGES = 32  # that the order of the layers is taken from
RUNS = 20


@dataclass(frozen=True)
class Gate:
    """max_drop: points of top-1 that may be lost on `images`."""

    max_drop: float
    images: ImageSet

    def drop(self, found: Comparison) -> float:
        """Points lost. Without labels, the share of images whose top-1 changed: no drop can be larger."""
        return found.drop_points if found.labelled else 100 * (1 - found.agreement)

    def holds(self, found: Comparison) -> bool:
        return self.drop(found) <= self.max_drop


@dataclass(frozen=True)
class Gated:
    """recipe: with `layers`, which the gate took out of W8A8, costliest first. drop_points: what is lost
    then, of max_drop points that may be.

    slowdown: of this model against the one with all layers in INT8, ratio of medians; None where no
    layer was taken out, or nothing can be timed here.
    """

    quantized: Quantized
    recipe: Recipe
    layers: tuple[str, ...]
    drop_points: float
    max_drop: float
    slowdown: float | None
    passed: bool

    def figures(self) -> dict[str, Any]:
        """The fields of the result."""
        return {
            "kept_float" if self.recipe.fallback == "float" else "sixteen_bit": self.layers,
            "drop_points": round(self.drop_points, 4),
            "max_drop": self.max_drop,
            "slowdown": self.slowdown,
        }


def quantize_gated(job: Job, gate: Gate, target: Target, description: Description) -> Gated:
    """Quantize, measure on the target, and take one layer more out of W8A8 until the gate holds.

    description: of the artifacts to measure. `passed` is False where it does not hold with one layer left.
    """
    calibrated = calibrate_job(job)
    kept: list[str] = []
    order: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(job, gate.images, target, description, Path(folder))
        while True:
            quantized = quantize_calibrated(job, calibrated, kept)
            found = trial.measure(quantized, len(kept))
            drop = gate.drop(found)
            passed = gate.holds(found)
            if passed or len(kept) + 1 >= len(calibrated.quantized_layers):
                break
            order = order or [cost.name for cost in layer_costs(job, calibrated, images=COST_IMAGES)]
            way = "keeping it float" if job.recipe.fallback == "float" else "giving it 16-bit activations"
            note(f"drop of {drop:.2f} points is over {gate.max_drop:g}: {order[len(kept)]} costs most, {way}")
            kept.append(order[len(kept)])
        slowdown = trial.slowdown(len(kept)) if kept else None
    return Gated(quantized, job.recipe.relaxed(kept), tuple(kept), drop, gate.max_drop, slowdown, passed)


@dataclass(frozen=True)
class Trial:
    """Models on trial, numbered by how many layers the gate has taken out of W8A8, in a scratch folder."""

    job: Job
    images: ImageSet
    target: Target
    description: Description
    folder: Path

    def measure(self, quantized: Quantized, number: int) -> Comparison:
        artifact = self._write(quantized, number)
        found, preprocessing = Comparison(), self.job.source.preprocessing
        reference = TorchSession(self.job.source.reference)
        batches = self.images.batches(preprocessing, batch=BATCH, dtype="uint8")
        with self.target.open_session(artifact) as session:
            for batch in track(batches, "measuring", total=len(self.images), step=BATCH):
                normalized = as_reference_takes(batch.images, preprocessing)
                raw = self.job.input_type == "uint8"
                candidate = session.run(batch.images if raw else normalized)
                found.add(reference.run(normalized), candidate, batch.labels)
        return found

    def slowdown(self, number: int) -> float | None:
        """Of the model with `number` layers less in W8A8 against the first, ratio of median latencies."""
        image = example_input(self.job.source.preprocessing.resolution, self.job.input_type, batch=1).numpy()
        first, last = self._open(0), self._open(number)
        with first, last:
            if first.simulated:
                return None
            times = interleave((lambda: first.run(image), lambda: last.run(image)), RUNS)
        before, after = (float(np.median(column)) for column in times)
        return round(after / before, 3)

    def _open(self, number: int) -> Session:
        return self.target.open_session(open_artifact(self._path(number)), threads=1)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number}.onnx"

    def _write(self, quantized: Quantized, number: int) -> Artifact:
        return write_artifact(self._path(number), self.description, quantized.write)


def check_gate(max_drop: float | None, data: AnyPath | None, method: str) -> None:
    """Raises UsageError for options of the gate that mean nothing together."""
    if max_drop is not None and method != "ptq":
        raise UsageError(f"--max-drop means nothing with --method {method}", hint="Use --method ptq.")
    if max_drop is None and data is not None:
        raise UsageError("--data is what --max-drop is measured on", hint="Give --max-drop POINTS too.")
