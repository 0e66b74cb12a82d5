"""What both models answer to each image, and what follows: calibration, and where answers change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convnext_edge.images.batches import Labels
from convnext_edge.images.contents import UNLABELLED
from convnext_edge.targets.base import Logits, Outputs

ECE_BINS = (
    15  # of equal width, as in "On Calibration of Modern Neural Networks" (Guo et al., 2017, 1706.04599)
)
CONFIDENCES = (0.0, 0.5, 0.7, 0.9, 0.99, 1.0)  # ends of the groups of images, by the reference's confidence
MOST_CHANGED = 1000  # images that are told one by one


class Agreed(NamedTuple):
    """How many images of a group there are, and for how many both models have the same top-1."""

    images: int
    agreed: int

    @property
    def share(self) -> float:
        """The agreement."""
        return self.agreed / self.images


@dataclass(frozen=True)
class ChangedImage:
    """An image to which the candidate has another top-1 than the reference."""

    image: str
    label: str | None  # its class, by name or by number; None where it has none
    reference: str  # what each model answers, likewise
    candidate: str
    reference_probability: float  # of that answer, by the same model
    candidate_probability: float


@dataclass(frozen=True)
class ClassAgreement:
    """The agreement on the images of one class."""

    name: str  # or its number
    images: int
    agreement: float


@dataclass(frozen=True)
class ConfidenceAgreement:
    """The agreement on images of whose class the reference is as sure as this."""

    least: float  # probability of its answer; only the last group has the upper end, too
    most: float
    images: int
    agreement: float


@dataclass(frozen=True)
class BeyondTop1:
    """What top-1 does not tell of a candidate."""

    # Expected calibration error of each model; None where the images have no labels.
    reference_ece: float | None
    candidate_ece: float | None
    ece_bins: int  # of equal width
    classes_by: str  # "label", or the reference's "answer" where images have none
    by_class: tuple[ClassAgreement, ...]  # those with images, the worst first
    by_confidence: tuple[ConfidenceAgreement, ...]  # those with images
    changed_images: int
    changed: tuple[ChangedImage, ...]  # the first MOST_CHANGED, those that the reference was surest of first


@dataclass
class AnswerLog:
    """The top-1 of both models, and how sure they are, image by image."""

    names: list[str] = field(default_factory=list)
    _labels: list[NDArray[np.int64]] = field(default_factory=list)
    _answers: list[NDArray[np.int64]] = field(default_factory=list)  # (2, N) of each batch
    _probabilities: list[NDArray[np.float64]] = field(default_factory=list)

    def add(self, reference: Outputs, candidate: Outputs, labels: Labels, names: Sequence[str]) -> None:
        """Add what both models answer to a batch: logits (N, classes), labels (N,) and names."""
        logits = (reference[0], candidate[0])
        self.names += names
        self._labels.append(labels.astype(np.int64))
        self._answers.append(np.stack([each.argmax(1) for each in logits]))
        self._probabilities.append(np.stack([softmax(each).max(1) for each in logits]))

    @property
    def labels(self) -> NDArray[np.int64]:
        """The label of each image, (N,), -1 where it has none."""
        return np.concatenate(self._labels)

    @property
    def answers(self) -> NDArray[np.int64]:
        """The top-1 of the reference and the candidate, (2, N)."""
        return np.concatenate(self._answers, axis=1)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """The probability that each gives its top-1, (2, N)."""
        return np.concatenate(self._probabilities, axis=1)

    def summed_up(self, class_names: Sequence[str]) -> BeyondTop1:
        """Return what follows of all images. class_names: in the order of the logits; empty for numbers."""
        labelled = bool((self.labels != UNLABELLED).any())
        reference, candidate = self._calibration_errors() if labelled else (None, None)
        highest = max(int(self.answers.max()), int(self.labels.max()))
        told = told_apart(class_names) or [str(number) for number in range(highest + 1)]
        changed = np.flatnonzero(self.answers[0] != self.answers[1])
        changed = changed[np.argsort(-self.probabilities[0, changed], kind="stable")]
        return BeyondTop1(
            reference_ece=reference,
            candidate_ece=candidate,
            ece_bins=ECE_BINS,
            classes_by="label" if labelled else "answer",
            by_class=self._by_class(self.labels if labelled else self.answers[0], told),
            by_confidence=self._by_confidence(),
            changed_images=len(changed),
            changed=tuple(self._changed(int(number), told) for number in changed[:MOST_CHANGED]),
        )

    def _calibration_errors(self) -> tuple[float, float]:
        known = self.labels != UNLABELLED
        reference, candidate = (
            calibration_error(probabilities[known], answers[known] == self.labels[known])
            for answers, probabilities in zip(self.answers, self.probabilities, strict=True)
        )
        return reference, candidate

    def _by_class(self, groups: NDArray[np.int64], names: Sequence[str]) -> tuple[ClassAgreement, ...]:
        found = []
        for number in np.unique(groups[groups != UNLABELLED]).tolist():
            agreed = self._agreed(groups == number)
            found.append(ClassAgreement(names[number], agreed.images, agreed.share))
        return tuple(sorted(found, key=lambda row: row.agreement))

    def _by_confidence(self) -> tuple[ConfidenceAgreement, ...]:
        # the last group has its upper end
        groups = np.digitize(self.probabilities[0], CONFIDENCES[1:-1])
        found = []
        for number, (least, most) in enumerate(pairwise(CONFIDENCES)):
            agreed = self._agreed(groups == number)
            if agreed.images:
                found.append(ConfidenceAgreement(least, most, agreed.images, agreed.share))
        return tuple(found)

    def _agreed(self, chosen: NDArray[np.bool_]) -> Agreed:
        same = self.answers[0, chosen] == self.answers[1, chosen]
        return Agreed(len(same), int(same.sum()))

    def _changed(self, number: int, names: Sequence[str]) -> ChangedImage:
        label, (reference, candidate) = int(self.labels[number]), self.answers[:, number]
        return ChangedImage(
            self.names[number],
            None if label == UNLABELLED else names[label],
            names[int(reference)],
            names[int(candidate)],
            *map(float, self.probabilities[:, number]),
        )


def told_apart(names: Sequence[str]) -> list[str]:
    """Return names of classes, with the number behind each that several share."""
    shared = Counter(names)
    return [f"{name} ({number})" if shared[name] > 1 else name for number, name in enumerate(names)]


def softmax(logits: Logits) -> NDArray[np.float64]:
    """Return probabilities (N, classes) of logits."""
    exact = logits.astype(np.float64)
    powers = np.exp(exact - exact.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def calibration_error(probabilities: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the expected calibration error of (N,) answers, in ECE_BINS bins of equal width.

    It is the mean over the images of how far the share of right answers of a bin is from the mean probability
    in it. A probability on the border of two bins is of the lower one, as in the paper.
    """
    bins = np.ceil(probabilities * ECE_BINS).astype(int) - 1
    errors = np.bincount(bins.clip(0), weights=probabilities - right, minlength=ECE_BINS)
    return float(np.abs(errors).sum() / len(right))
