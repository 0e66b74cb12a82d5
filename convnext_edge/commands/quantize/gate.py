"""The gate `--max-drop`: the costliest layers go back to float, or to 16 bits, until the accuracy holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.files import temporary_folder
from convnext_edge.artifacts.store import open_artifact, write_artifact
from convnext_edge.checkpoints.class_order import Numbering
from convnext_edge.errors import UsageError
from convnext_edge.evaluation.comparison import Inputs, compare_answers
from convnext_edge.evaluation.layer_costs import layer_costs
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.evaluation.timing import interleave
from convnext_edge.evaluation.trust import (
    check_classes,
    check_gates,
    concerns,
    decide_drop,
    in_wrong_order,
    undecided_drop,
)
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
RUNS = 20  # timed calls of the first model and the last


@dataclass(frozen=True)
class Gate:
    """How much accuracy may be lost, and on which images."""

    max_drop: float  # points of top-1
    images: ImageSet

    def drop(self, found: Comparison) -> float:
        """Return the points lost; without labels the share of images whose top-1 changed, a bound of it."""
        return found.drop_points if found.labelled else 100 * (1 - found.agreement)

    def open_questions(self, found: Comparison) -> tuple[str, ...]:
        """Return, as sentences, that other images could have given the other answer."""
        low, high = (100 * (1 - bound) for bound in reversed(found.agreement_ci95))
        interval = found.drop_ci95_points if found.labelled else (low, high)
        return undecided_drop(interval, self.max_drop, found.labelled or found.images)

    def holds(self, found: Comparison) -> bool:
        """Return whether no more is lost than may be."""
        return self.drop(found) <= self.max_drop

    def doubts(self, found: Comparison, classes: int) -> tuple[str, ...]:
        """Return why the gate decides nothing, whatever is lost, as sentences."""
        if not found.labelled:
            return ()
        wrong = concerns(found, classes) if in_wrong_order(found) else ()
        return wrong + decide_drop(found, self.max_drop)[1]


@dataclass(frozen=True)
class Gated:
    """A quantized model that went through the gate, and what that took."""

    quantized: Quantized
    recipe: Recipe  # with `layers` out of W8A8
    layers: tuple[str, ...]  # that the gate took out of W8A8, costliest first
    drop_points: float  # points that are lost in the end
    max_drop: float  # points that may be lost
    # latency over that of all layers in INT8; None where no layer is out, or where the target is simulated
    slowdown: float | None
    passed: bool
    warnings: tuple[str, ...] = ()  # why not to rely on the gate, as sentences

    @property
    def fault(self) -> str:
        """Say why the gate is not met; empty where it is."""
        if self.passed:
            return ""
        if self.drop_points > self.max_drop:
            return f"{self.drop_points:.2f} points lost, {self.max_drop:g} allowed"
        return self.warnings[0]

    def figures(self) -> dict[str, Any]:
        """Return the fields of the result."""
        return {
            "kept_float" if self.recipe.fallback == "float" else "sixteen_bit": self.layers,
            "drop_points": round(self.drop_points, 4),
            "max_drop": self.max_drop,
            "slowdown": self.slowdown,
        }


def check_gate(max_drop: float | None, data: AnyPath | None, method: str, *, changed: bool) -> None:
    """Raise UsageError for options that mean nothing together. changed: whether the recipe is."""
    if method == "ort" and changed:
        raise UsageError("method ort takes no recipe", hint="Leave --recipe and --keep-float out.")
    if max_drop is not None and method != "ptq":
        raise UsageError(f"--max-drop means nothing with --method {method}", hint="Use --method ptq.")
    if max_drop is None and data is not None:
        raise UsageError("--data is what --max-drop is measured on", hint="Give --max-drop POINTS too.")


def open_gate(
    max_drop: float | None,
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
    if max_drop is None and numbering == Numbering():
        return None
    images = numbering.apply(images, described)
    if max_drop is None:
        return None
    if described.task != "classify":
        raise UsageError(
            f"--max-drop is measured in top-1, and this model's task is {described.task}",
            hint="Leave it out, and hold the result against FP32 with validate.",
        )
    check_gates(max_drop, None, described.architecture.classes)
    check_classes(images, job.start.artifact)
    if data is None:
        note("measuring the drop on the calibration images; --data names others")
    return Gate(max_drop, images)


def quantize_gated(job: Job, gate: Gate) -> Gated:
    """Quantize, measure on the target, and take one layer more out of W8A8 until the gate holds.

    `passed` of the result is False where it does not hold with one layer left.
    """
    calibrated = calibrate_job(job)
    kept: list[str] = []
    order: list[str] = []
    classes = job.source.reference.architecture.classes
    with temporary_folder() as folder:
        attempts = Attempts(job, gate.images, find_target(job.target), folder)
        while True:
            quantized = quantize_calibrated(job, calibrated, kept)
            found = attempts.measure(quantized, len(kept))
            drop = gate.drop(found)
            doubts = gate.doubts(found, classes)
            passed = gate.holds(found) and not doubts
            if passed or doubts or len(kept) + 1 >= len(calibrated.quantized_layers):
                break
            order = order or [cost.name for cost in layer_costs(job, calibrated, images=COST_IMAGES)]
            way = "keeping it float" if job.recipe.fallback == "float" else "giving it 16-bit activations"
            note(f"drop of {drop:.2f} points is over {gate.max_drop:g}: {order[len(kept)]} costs most, {way}")
            kept.append(order[len(kept)])
        slowdown = attempts.slowdown(len(kept)) if kept else None
    warnings = tuple(dict.fromkeys((*concerns(found, classes), *(doubts or gate.open_questions(found)))))
    recipe = job.recipe.relaxed(kept)
    return Gated(quantized, recipe, tuple(kept), drop, gate.max_drop, slowdown, passed, warnings)


@dataclass(frozen=True)
class Attempts:
    """The models tried at the gate, numbered by how many layers are out of W8A8, in a scratch folder."""

    job: Job
    images: ImageSet
    target: Target
    folder: Path

    def measure(self, quantized: Quantized, number: int) -> Comparison:
        """Write the model of that number, and hold it against the reference."""
        artifact = self._write(quantized, number)
        source = self.job.source
        with self.target.open_session(artifact) as session:
            inputs = Inputs(self.images, source.preprocessing, self.job.input_type == "uint8", BATCH)
            reference = TorchSession(source.reference)
            found = Comparison(other_labels=self.images.other_labels)
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
