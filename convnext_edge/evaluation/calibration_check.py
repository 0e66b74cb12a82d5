"""Can a calibration be right? What its images carry, and how close the quantized model is on them to FP32.

Ranges of black images fit black images: where images carry nothing, the second says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.checkpoints.source import Source
from convnext_edge.evaluation.comparison import batch_for
from convnext_edge.evaluation.measures import closeness_of
from convnext_edge.images.contents import UNLABELLED
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.transform import as_reference_takes
from convnext_edge.progress import phase
from convnext_edge.targets.registry import find_target
from convnext_edge.targets.torch import TorchSession

LOOKED_AT = 16  # images; fewer are too few to calibrate with
ANSWERED = 8  # of them are run through both models: the mean over 1000 logits each is exact enough
BATCH = 4
LEVELS = 2.0  # of 255, of standard deviation: sensors alone give more to images of anything


@dataclass(frozen=True)
class CalibrationSample:
    """Some of the images that calibrate, decoded."""

    pixels: NDArray[np.uint8]  # (N, channels, H, W)
    concerns: tuple[str, ...]  # in what the images carry little, as sentences
    empty: bool  # whether they carry nothing to calibrate with

    @phase("comparing with FP32")
    def sqnr_db(self, artifact: Artifact, source: Source) -> float | None:
        """Return the SQNR of a quantized ONNX file against FP32, of its worst output; None where it is exact.

        Of a detector, it is that of the median detection. It runs in ONNX Runtime, whatever its
        target: that is always here, and reads all Q/DQ graphs.
        """
        raw_bytes = artifact.description.input_type == "uint8"
        reference, found = TorchSession(source.reference), closeness_of(source)
        # one thread: more would spin while they wait for each other
        with find_target("onnxruntime").open_session(artifact, threads=1) as session:
            step = batch_for(artifact.description, BATCH)
            for start in range(0, min(len(self.pixels), ANSWERED), step):
                pixels = self.pixels[start : start + step]
                images = as_reference_takes(pixels, source.preprocessing)
                answer = session.run_all(pixels if raw_bytes else images)
                found.add_outputs(reference.run_all(images), answer, np.full(len(pixels), UNLABELLED))
        return found.usual_sqnr_db


@phase("looking at the calibration images")
def look_at(images: ImageSet, source: Source) -> CalibrationSample:
    """Decode some of the images that calibrate, and tell in what all of them carry little."""
    drawn = images.subset(min(LOOKED_AT, len(images)), seed=0)
    batches = drawn.batches(source.preprocessing, batch=BATCH, dtype="uint8")
    pixels = np.concatenate([batch.images for batch in batches]).astype(np.uint8, copy=False)
    blank, count = int(is_constant(pixels).sum()), len(pixels)
    alike = count > 1 and bool(pixels.std(0).mean() < LEVELS)
    concerns = [*concerns_of_set(images, source.reference.architecture.classes)]
    if blank:
        concerns.append(f"{blank} of {count} calibration images that were looked at have one colour")
    elif alike:
        concerns.append(f"the {count} calibration images that were looked at are nearly equal")
    return CalibrationSample(pixels, tuple(concerns), empty=alike or blank == count)


def is_constant(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return (N,) whether each of the images (N, channels, H, W) has one colour."""
    constant: NDArray[np.bool_] = pixels.std((2, 3)).max(1) < LEVELS
    return constant


def concerns_of_set(images: ImageSet, classes: int) -> Iterator[str]:
    """Yield what is wrong with a choice of images. classes: that the model tells apart."""
    if len(images) < LOOKED_AT:
        yield f"{len(images)} calibration image{'s are' if len(images) > 1 else ' is'} few: take 256"
    labels = {entry.label for entry in images.entries}
    if (
        images.labelled
        and not (images.mapped or images.boxed)
        and len(labels) == 1 < min(len(images), classes)
    ):
        yield f"all {len(images)} calibration images are of one class"
