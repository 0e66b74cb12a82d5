"""The one loop that runs a candidate and the reference over the same images and compares them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import as_reference_takes
from convnext_edge.progress import track
from convnext_edge.targets.base import Images, Logits

Answer: TypeAlias = Callable[[Images], Logits]


@dataclass(frozen=True)
class Inputs:
    """The images that both models get, and the form in which the candidate takes them."""

    images: ImageSet
    preprocessing: Preprocessing
    raw_bytes: bool  # the candidate takes uint8; if not, it takes normalized float32, as the reference
    batch: int  # images in a call
    process: int = 0  # number of this process, 0-based
    processes: int = 1  # number of processes, which share the batches


def compare_answers(reference: Answer, candidate: Answer, inputs: Inputs, *, purpose: str) -> Comparison:
    """Run both models over the images and sum up how their logits differ; each image is decoded once.

    purpose: text of the progress bar.
    """
    images, preprocessing = inputs.images, inputs.preprocessing
    found = Comparison(other_labels=images.other_labels)
    batches = images.batches(preprocessing, batch=inputs.batch, dtype="uint8")
    tracked = track(batches, purpose, total=len(images), step=inputs.batch)
    for number, batch in enumerate(tracked):
        if number % inputs.processes == inputs.process:
            normalized = as_reference_takes(batch.images, preprocessing)
            answer = candidate(batch.images if inputs.raw_bytes else normalized)
            found.add(reference(normalized), answer, batch.labels)
    return found
