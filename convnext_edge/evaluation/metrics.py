"""Metrics of how far a candidate's logits are from the reference's: agreement, accuracy drop, SQNR."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convnext_edge.images.batches import Labels
from convnext_edge.images.contents import UNLABELLED
from convnext_edge.targets.base import Logits, Outputs

FLOOR_DB = -999.0  # what an error beside no signal counts as
Z95 = 1.959964  # two-sided 95 % quantile of the normal distribution
SUMS = (
    "images",
    "labelled",
    "agreed",
    "signal",
    "noise",
    "only_reference",
    "only_candidate",
    "other_top1",
)


@dataclass
class Comparison:
    """A comparison of two models: sums over batches of their logits, and the metrics that follow."""

    images: int = 0  # all images
    labelled: int = 0  # images with a label
    agreed: int = 0  # images for which both models have the same top-1
    signal: float = 0.0  # sum of the squares of the reference's logits
    noise: float = 0.0  # sum of the squares of the differences of the logits
    # Labelled images that the reference, and that the candidate, gets right.
    top1: list[int] = field(default_factory=lambda: [0, 0])
    top5: list[int] = field(default_factory=lambda: [0, 0])
    only_reference: int = 0  # labelled images that only the reference gets right (top-1)
    only_candidate: int = 0  # labelled images that only the candidate gets right
    # Of each label, the one that another order of the classes gives; empty where there is no other.
    other_labels: tuple[int, ...] = ()
    other_top1: int = 0  # labelled images that the reference would get right in that order
    named: Counter[tuple[int, int]] = field(default_factory=Counter)  # label and answer of the reference

    def add(self, reference: Logits, candidate: Logits, labels: Labels) -> None:
        """Add the logits of both models for a batch of images.

        reference, candidate: (N, classes). labels: (N,), -1 where an image has none.
        """
        self.images += len(labels)
        self.agreed += int((reference.argmax(1) == candidate.argmax(1)).sum())
        self.signal += float(np.square(reference, dtype=np.float64).sum())
        self.noise += float(np.square(np.subtract(reference, candidate, dtype=np.float64)).sum())
        # several labels an image say nothing of the largest logit
        single = labels.astype(np.int64) if labels.ndim == 1 else np.full(len(labels), UNLABELLED)
        known = single != UNLABELLED
        self.labelled += int(known.sum())
        self._add_labelled(reference[known], candidate[known], single[known])

    def add_outputs(self, reference: Outputs, candidate: Outputs, labels: Labels) -> None:
        """Add the only output of each model, as `add` does."""
        self.add(reference[0], candidate[0], labels)

    def _add_labelled(self, reference: Logits, candidate: Logits, labels: NDArray[np.int64]) -> None:
        right = [logits.argmax(1) == labels for logits in (reference, candidate)]
        self.only_reference += int((right[0] & ~right[1]).sum())
        self.only_candidate += int((right[1] & ~right[0]).sum())
        if self.other_labels:
            self.other_top1 += int((reference.argmax(1) == np.array(self.other_labels)[labels]).sum())
        self.named.update(zip(labels.tolist(), reference.argmax(1).tolist(), strict=True))
        for model, logits in enumerate((reference, candidate)):
            self.top1[model] += int(right[model].sum())
            self.top5[model] += int(in_top(logits, labels, 5).sum())

    def merge(self, other: Comparison) -> None:
        """Add the sums over other batches of the same models."""
        for name in SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.named += other.named
        for mine, theirs in ((self.top1, other.top1), (self.top5, other.top5)):
            mine[:] = [a + b for a, b in zip(mine, theirs, strict=True)]

    @property
    def worst_sqnr_db(self) -> float | None:
        """The SQNR of the only output."""
        return self.sqnr_db

    @property
    def agreement(self) -> float:
        """The fraction of the images for which both models have the same top-1."""
        return self.agreed / self.images

    @property
    def agreement_ci95(self) -> tuple[float, float]:
        """The 95 % interval of the agreement, by Wilson (1927)."""
        return wilson(self.agreed, self.images)

    @property
    def sqnr_db(self) -> float | None:
        """The signal-to-quantization-noise ratio of the logits, in dB; None where there is no noise."""
        return decibels(self.signal, self.noise)

    @property
    def drop_points(self) -> float:
        """The percentage points of top-1 that the candidate loses."""
        return 100 * (self.only_reference - self.only_candidate) / self.labelled

    @property
    def drop_ci95_points(self) -> tuple[float, float]:
        """The paired 95 % interval of the drop, in percentage points.

        Agresti and Min (2005), "Simple improved confidence intervals for comparing matched proportions":
        Wald's interval with half an image added to each of the four counts, so that its width is not zero
        where the models agree on all images.
        """
        lost, won, total = self.only_reference + 0.5, self.only_candidate + 0.5, self.labelled + 2
        middle = (lost - won) / total
        half = Z95 * math.sqrt((lost + won) - (lost - won) ** 2 / total) / total
        return 100 * (middle - half), 100 * (middle + half)

    def accuracy(self) -> dict[str, Any]:
        """Return the metrics by name; those of accuracy are None where no image has a label."""
        labelled = self.labelled
        return {
            "images": self.images,
            "reference_top1": self.top1[0] / labelled if labelled else None,
            "candidate_top1": self.top1[1] / labelled if labelled else None,
            "reference_top5": self.top5[0] / labelled if labelled else None,
            "candidate_top5": self.top5[1] / labelled if labelled else None,
            "drop_points": self.drop_points if labelled else None,
            "drop_ci95_points": self.drop_ci95_points if labelled else None,
            "agreement": self.agreement,
            "agreement_ci95": self.agreement_ci95,
            "sqnr_db": self.sqnr_db,
            "reference_top1_other_order": self.other_top1 / labelled if self.other_labels else None,
        }


def decibels(signal: float, noise: float) -> float | None:
    """Return 10 log10 of the power of a signal over that of its error; None where there is no error."""
    if not noise:
        return None
    return max(10 * math.log10(signal / noise), FLOOR_DB) if signal else FLOOR_DB


def in_top(logits: Logits, labels: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Return (N,) whether each label is among the `count` largest logits, or all if classes are fewer."""
    count = min(count, logits.shape[1])
    best = np.argpartition(-logits, count - 1, axis=1)[:, :count]
    found: NDArray[np.bool_] = (best == labels[:, None]).any(1)
    return found


def wilson(hits: int, total: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval (1927) of the proportion `hits` / `total`."""
    share, z2 = hits / total, Z95**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return max(0.0, middle - half), min(1.0, middle + half)
