"""Two models over the same images: the one loop that holds a candidate against the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from convnext_edge.evaluation.metrics import Comparison, Logits
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import as_reference_takes
from convnext_edge.progress import track
from convnext_edge.targets.base import Images

Answer: TypeAlias = Callable[[Images], Logits]


@dataclass(frozen=True)
class Inputs:
    """The images that both models are given, and how the candidate takes them."""

    images: ImageSet
    preprocessing: Preprocessing
    raw_bytes: bool  # the candidate takes uint8 pixels; else, as the reference, normalized float32
    batch: int  # images in a call
    process: int = 0  # number of this process, of
    processes: int = 1  # several that take the batches in turns


def compare_answers(reference: Answer, candidate: Answer, inputs: Inputs, *, purpose: str) -> Comparison:
    """Run both models over the images, each image decoded once, and sum up how their logits differ.

    purpose: what the progress bar says.
    """
    found = Comparison()
    images, preprocessing = inputs.images, inputs.preprocessing
    batches = images.batches(preprocessing, batch=inputs.batch, dtype="uint8")
    tracked = track(batches, purpose, total=len(images), step=inputs.batch)
    for number, batch in enumerate(tracked):
        if number % inputs.processes == inputs.process:
            normalized = as_reference_takes(batch.images, preprocessing)
            answer = candidate(batch.images if inputs.raw_bytes else normalized)
            found.add(reference(normalized), answer, batch.labels)
    return found
