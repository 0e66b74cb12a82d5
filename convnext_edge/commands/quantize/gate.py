"""The gates of accuracy: the costliest layers go back to float, or to 16 bits, until all of them hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.files import temporary_folder
from convnext_edge.artifacts.store import open_artifact, write_artifact
from convnext_edge.checkpoints.class_order import Numbering
from convnext_edge.checkpoints.source import Source
from convnext_edge.evaluation.candidates import reference_threads
from convnext_edge.evaluation.closeness import Closeness
from convnext_edge.evaluation.comparison import Inputs, batch_for, compare_answers
from convnext_edge.evaluation.gates import Gates, Judgement, judge
from convnext_edge.evaluation.layer_costs import layer_costs
from convnext_edge.evaluation.measures import new_measure
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.evaluation.timing import interleave
from convnext_edge.evaluation.trust import check_classes
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.noise import noise
from convnext_edge.images.opening import open_image_set
from convnext_edge.paths import AnyPath
from convnext_edge.progress import note
from convnext_edge.quantization.job import BATCH, Job, Quantized
from convnext_edge.quantization.ptq import calibrate_job, quantize_calibrated
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.targets.base import Session, Target
from convnext_edge.targets.registry import find_target
from convnext_edge.targets.torch import TorchSession

COST_IMAGES = 32  # that the order of the layers is taken from
DIGITS = 6  # of a figure in the result
RUNS = 20  # timed calls of the first model and the last


@dataclass(frozen=True)
class Gate:
    """What a quantized model must hold, and on which images."""

    gates: Gates
    images: ImageSet

    def judge(self, found: Comparison | Closeness, source: Source) -> Judgement:
        """Return how a model did."""
        return judge(found, self.gates, source.task, source.reference.architecture.classes)


@dataclass(frozen=True)
class Gated:
    """A quantized model that went through the gate, and what that took."""

    quantized: Quantized
    recipe: Recipe  # with `layers` out of W8A8
    layers: tuple[str, ...]  # that the gate took out of W8A8, costliest first
    judgement: Judgement  # in the end
    max_drop: float | None  # points that may be lost
    # latency over that of all layers in INT8; None where no layer is out, or where the target is simulated
    slowdown: float | None

    def figures(self) -> dict[str, Any]:
        """Return the fields of the result."""
        measured = {
            name: None if value is None else round(value, DIGITS)
            for name, value in self.judgement.figures.items()
        }
        return {
            "kept_float" if self.recipe.fallback == "float" else "sixteen_bit": self.layers,
            "drop_points": measured.get("drop_points"),
            "max_drop": self.max_drop,
            "measured": measured,
            "slowdown": self.slowdown,
        }


def open_gate(
    gates: Gates,
    data: AnyPath | None,
    data_root: AnyPath | None,
    job: Job,
    numbering: Numbering,
) -> Gate | None:
    """Return the gate that was asked for, on the images of `data` or else those of the calibration.

    numbering: what gives labels to their class folders. Raises UsageError for a gate that cannot fail,
    ImageSetError for images of other classes than the model's.
    """
    images = job.images
    if data is not None:
        images = open_image_set(data, data_root=data_root, split="evaluation")
    described = job.start.artifact.description
    if not gates.given and numbering == Numbering():
        return None
    images = numbering.apply(images, described)
    if not gates.given:
        return None
    # of a classifier, answers that change bound the drop from above
    labelled = images.labelled or described.task == "classify"
    gates.check(described.task, described.architecture, labelled=labelled, images=images.name)
    check_classes(images, job.start.artifact)
    if data is None:
        note("measuring the gates on the calibration images; --data names others")
    return Gate(gates, images)


def quantize_gated(job: Job, gate: Gate) -> Gated:
    """Quantize, measure on the target, and take one layer more out of W8A8 until the gate holds.

    The judgement has a fault where it does not hold with one layer left.
    """
    calibrated = calibrate_job(job)
    kept: list[str] = []
    order: list[str] = []
    with temporary_folder() as folder:
        attempts = Attempts(job, gate.images, find_target(job.target), folder)
        while True:
            quantized = quantize_calibrated(job, calibrated, kept)
            judged = gate.judge(attempts.measure(quantized, len(kept)), job.source)
            if judged.passed or judged.doubts or len(kept) + 1 >= len(calibrated.quantized_layers):
                break
            order = order or [cost.name for cost in layer_costs(job, calibrated, images=COST_IMAGES)]
            way = "keeping it float" if job.recipe.fallback == "float" else "giving it 16-bit activations"
            why = next(fault for fault in judged.faults.values() if fault)
            note(f"{why}: {order[len(kept)]} costs most, {way}")
            kept.append(order[len(kept)])
        slowdown = attempts.slowdown(len(kept)) if kept else None
    recipe = job.recipe.relaxed(kept)
    return Gated(quantized, recipe, tuple(kept), judged, gate.gates.max_drop, slowdown)


@dataclass(frozen=True)
class Attempts:
    """The models tried at the gate, numbered by how many layers are out of W8A8, in a scratch folder."""

    job: Job
    images: ImageSet
    target: Target
    folder: Path

    def measure(self, quantized: Quantized, number: int) -> Comparison | Closeness:
        """Write the model of that number, and hold it against the reference."""
        artifact = self._write(quantized, number)
        source = self.job.source
        with self.target.open_beside(artifact) as session:
            batch = batch_for(self.job.start.artifact.description, BATCH)
            inputs = Inputs(self.images, source.preprocessing, self.job.input_type == "uint8", batch)
            reference = TorchSession(source.reference, reference_threads(source))
            found = new_measure(source, self.images.other_labels)
            return compare_answers(reference.run_all, session.run_all, inputs, found, purpose="measuring")

    def slowdown(self, number: int) -> float | None:
        """Return the median latency of the model of that number over that of the first; None if simulated."""
        image = noise(self.job.source.preprocessing.shape, self.job.input_type, batch=1)
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
        description = self.job.describe(quantized.placement, "ptq")
        return write_artifact(self._path(number), description, quantized.write)
