"""Whether a candidate loses more than its reference where pictures are bad: 75 cells of ImageNet-C."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from convnext_edge.evaluation.comparison import Answer, Inputs, answer_both
from convnext_edge.evaluation.metrics import Z95
from convnext_edge.images.batches import Batch
from convnext_edge.images.contents import UNLABELLED
from convnext_edge.images.corruptions.corrupting import CELLS, corrupt
from convnext_edge.images.corruptions.severities import published_for
from convnext_edge.progress import track

PIXELS = 2**16  # of a batch at least: calls with a few small images cost more than these

Hits = NDArray[np.bool_]  # (2, N): whether the reference, and the candidate, gets each image right


@dataclass(frozen=True)
class Cell:
    """What both models make of images that one corruption made bad."""

    kind: str
    severity: int  # 1 to 5
    reference_top1: float  # fractions of the images
    candidate_top1: float
    drop_points: float  # percentage points of top-1 that the candidate loses


@dataclass(frozen=True)
class Corrupted:
    """Both models on all corruptions, and how much more than on clean images the candidate loses."""

    severities: str  # the published set whose severities these are, by the size of the images
    images: int  # with a label
    clean_drop_points: float
    # Mean over the cells of the drop, less that of the clean images: percentage points.
    extra_drop_points: float
    extra_drop_ci95_points: tuple[float, float]  # paired, over the images
    cells: tuple[Cell, ...]


def measure_corruptions(reference: Answer, candidate: Answer, inputs: Inputs, seed: int) -> Corrupted:
    """Run both models over the images, clean and corrupted in each way.

    seed: of noise, weather and the like. Images without a label are left out.
    """
    images, (rows, columns) = inputs.images, inputs.preprocessing.size
    size = max(inputs.batch, PIXELS // (rows * columns))
    batches = images.batches(inputs.preprocessing, batch=size, dtype="uint8")
    found = []  # of each batch (76, 2, N), the clean images first
    for batch in track(batches, "corrupting", total=len(images), step=size):
        known = labelled_part(batch)
        if len(known):
            made = chain([known], (corrupted(known, *cell, seed) for cell in CELLS))
            found.append(np.stack([hits(reference, candidate, each, inputs) for each in made]))
    return summed_up(np.concatenate(found, axis=2), published_for(min(rows, columns)).name)


def labelled_part(batch: Batch) -> Batch:
    """Return those images of a batch that have a label."""
    known = batch.labels != UNLABELLED
    names = tuple(name for name, kept in zip(batch.names, known, strict=True) if kept)
    return Batch(batch.images[known], batch.labels[known], names)


def corrupted(batch: Batch, kind: str, severity: int, seed: int) -> Batch:
    """Return a batch whose images were made bad."""
    images = batch.images.astype(np.uint8, copy=False)
    return Batch(corrupt(images, kind, severity, names=batch.names, seed=seed), batch.labels, batch.names)


def hits(reference: Answer, candidate: Answer, batch: Batch, inputs: Inputs) -> Hits:
    """Return whether both models get each image of a batch right, (2, N)."""
    answers = answer_both(reference, candidate, batch, inputs)
    return np.stack([outputs[0].argmax(1) == batch.labels for outputs in answers])


def summed_up(right: NDArray[np.bool_], severities: str) -> Corrupted:
    """Return what follows of (76, 2, N) right answers, the clean images first."""
    lost = 100 * (right[:, 0].astype(float) - right[:, 1])  # points of each version and image, (76, N)
    extra = lost[1:].mean(axis=0) - lost[0]  # of each image
    middle, half = float(extra.mean()), Z95 * float(extra.std()) / math.sqrt(len(extra))
    rates = right[1:].mean(axis=2)
    return Corrupted(
        severities=severities,
        images=len(extra),
        clean_drop_points=float(lost[0].mean()),
        extra_drop_points=middle,
        extra_drop_ci95_points=(middle - half, middle + half),
        cells=tuple(
            Cell(*cell, float(reference), float(candidate), 100 * float(reference - candidate))
            for cell, (reference, candidate) in zip(CELLS, rates, strict=True)
        ),
    )
