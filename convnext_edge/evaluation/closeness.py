"""How close a candidate's outputs are to the reference's, where they are not the logits of one label.

Each task has a measure that sums up over batches, see `measures`; `figures` are what a result shows of it, by
name. SQNR is in dB, None where there is no difference; a drop is in percentage points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from convnext_edge.evaluation.metrics import decibels
from convnext_edge.evaluation.powers import powers_of
from convnext_edge.evaluation.retrieval import NEIGHBOURS, knn_accuracy, nearest, shared
from convnext_edge.images.batches import Labels
from convnext_edge.images.contents import UNLABELLED
from convnext_edge.targets.base import Outputs

Figures: TypeAlias = dict[str, float | None]
LEAST_OTHERS = 2  # of the class of the middle image: with fewer, its ten neighbours cannot agree on it
ROUNDING = 1e-6  # of the largest value: less deviation is that of float32, and no answer
THRESHOLD = 0.0  # of a logit: a probability of one half
LABEL_MAPS = 3  # axes of labels that are maps, (N, H, W)


class Closeness:
    """SQNR and cosine of each output of two models, whatever the outputs mean."""

    def __init__(self, outputs: Sequence[str]) -> None:
        self.outputs = tuple(outputs)
        self.images = self.labelled = 0
        self.signal, self.noise = (dict.fromkeys(self.outputs, 0.0) for _ in range(2))
        self.cosines: dict[str, list[float]] = {name: [] for name in self.outputs}

    def add_outputs(self, reference: Outputs, candidate: Outputs, labels: Labels) -> None:
        """Add what both models answer to a batch of images, each output (N, ...)."""
        self.images += len(labels)
        self.labelled += int(is_labelled(labels).sum())
        for name, wanted, found in zip(self.outputs, reference, candidate, strict=True):
            for exact, other in zip(wanted, found, strict=True):  # logits of pixels take a lot of memory
                powers = powers_of(exact.ravel(), other.ravel())
                self.signal[name] += powers.exact
                self.noise[name] += powers.noise
                self.cosines[name].append(powers.cosine)

    def merge(self, other: Self) -> None:
        """Add the sums over other batches of the same models."""
        self.images, self.labelled = self.images + other.images, self.labelled + other.labelled
        for name in self.outputs:
            self.signal[name] += other.signal[name]
            self.noise[name] += other.noise[name]
            self.cosines[name] += other.cosines[name]

    def sqnr_db(self, output: str) -> float | None:
        """Return the SQNR of one output."""
        return decibels(self.signal[output], self.noise[output])

    @property
    def worst_sqnr_db(self) -> float | None:
        """The SQNR of the output that is farthest off; None where all are the same."""
        found = [self.sqnr_db(name) for name in self.outputs]
        return min((value for value in found if value is not None), default=None)

    @property
    def usual_sqnr_db(self) -> float | None:
        """The SQNR that a few images tell: the worst one, where no single value of theirs decides it."""
        return self.worst_sqnr_db

    def cosines_of(self, output: str) -> NDArray[np.float64]:
        """Return the cosine of each image, (N,)."""
        return np.array(self.cosines[output])

    @property
    def concerns(self) -> tuple[str, ...]:
        """Why a figure of the task is not told of these images, as sentences."""
        return ()

    @property
    def silent(self) -> bool:
        """Whether neither model answered anything that could be compared."""
        return False

    @property
    def other_numbers(self) -> tuple[str, ...]:
        """Why labels count the classes in another way than the model, as a sentence; they are concerns."""
        return ()

    def figures(self) -> Figures:
        """Return SQNR and mean cosine of each output."""
        found: Figures = {}
        for name in self.outputs:
            found[f"{name}_sqnr_db"] = self.sqnr_db(name)
            found[f"{name}_cosine"] = float(self.cosines_of(name).mean())
        return found


class GatheredAnswers(Closeness):
    """The first output of both models, and the labels: for figures that need all images at once."""

    def __init__(self, outputs: Sequence[str]) -> None:
        super().__init__(outputs)
        self.answers: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        self.labels: list[Labels] = []

    def add_outputs(self, reference: Outputs, candidate: Outputs, labels: Labels) -> None:
        super().add_outputs(reference, candidate, labels)
        kept = self.of_use(labels)
        self.answers.append((reference[0][kept], candidate[0][kept]))
        self.labels.append(labels[kept])

    def merge(self, other: Self) -> None:
        super().merge(other)
        self.answers += other.answers
        self.labels += other.labels

    def of_use(self, labels: Labels) -> NDArray[np.bool_]:
        """Return which images of a batch to keep, (N,)."""
        return np.ones(len(labels), dtype=bool)

    def all_answers(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what the reference and the candidate answer to all images kept, each (N, ...)."""
        reference, candidate = zip(*self.answers, strict=True)
        return np.concatenate(reference), np.concatenate(candidate)


class Values(GatheredAnswers):
    """The numbers of a regression: errors in units of the deviation of the reference's values."""

    def figures(self) -> Figures:
        """Return R2, and the largest and the mean error.

        Each of the values has its own deviation; R2 is the mean over the values. Where the reference answers
        all images alike, nothing tells how large an error is.
        """
        exact, found = (answers.astype(np.float64) for answers in self.all_answers())
        deviation = exact.std(axis=0)
        if not (deviation > ROUNDING * np.abs(exact).max(axis=0)).all():
            return {"r2": None, "largest_error": None, "mean_error": None}
        errors = np.abs(found - exact) / deviation
        return {
            "r2": float(1 - np.square(errors).mean(axis=0).mean()),
            "largest_error": float(errors.max()),
            "mean_error": float(errors.mean()),
        }


class Embeddings(GatheredAnswers):
    """The directions of embeddings: cosine, nearest neighbours among the images, and their labels."""

    def figures(self) -> Figures:
        """Return the cosines, the share of nearest neighbours that stay, and the accuracy of both by them."""
        cosines = self.cosines_of(self.outputs[0])
        found: Figures = {
            "cosine_mean": float(cosines.mean()),
            "cosine_p1": float(np.percentile(cosines, 1)),
        }
        if self.images > NEIGHBOURS:
            found |= self._by_neighbours()
        for name in self.outputs[1:]:
            found[f"{name}_sqnr_db"] = self.sqnr_db(name)
        return found

    @property
    def concerns(self) -> tuple[str, ...]:
        """Why the accuracy by neighbours is not told, where the images have labels."""
        own = self._own_labels()
        if own is None or not (self.images <= NEIGHBOURS or is_sparse(own)):
            return ()
        count = len(np.unique(own))
        return (
            f"k-NN is not told: {self.images} images of {count} classes are too few images of each class",
        )

    def _own_labels(self) -> NDArray[np.int64] | None:
        """Return the one label of each image, (N,); None where an image has none, or several."""
        labels = np.concatenate(self.labels)
        return labels.astype(np.int64) if self.labelled == self.images and labels.ndim == 1 else None

    def _by_neighbours(self) -> Figures:
        exact, other = (nearest(answers) for answers in self.all_answers())
        found: Figures = {"neighbours_kept": shared(exact, other)}
        own = self._own_labels()
        if own is not None and len(np.unique(own)) > 1 and not is_sparse(own):  # of one label, all have it
            accuracies = [knn_accuracy(neighbours, own) for neighbours in (exact, other)]
            found["knn_reference"], found["knn_candidate"] = accuracies
            found["drop_points"] = 100 * (accuracies[0] - accuracies[1])
        return found


class Decisions(GatheredAnswers):
    """The decisions of a multi-label model: agreement, mean average precision, F1 at one half.

    The label of an image stands for one decision that is right, all others for wrong ones; an image may have
    several, or none.
    """

    def __init__(self, outputs: Sequence[str]) -> None:
        super().__init__(outputs)
        self.agreed = self.decided = 0

    def add_outputs(self, reference: Outputs, candidate: Outputs, labels: Labels) -> None:
        super().add_outputs(reference, candidate, labels)
        same = (reference[0] > THRESHOLD) == (candidate[0] > THRESHOLD)
        self.agreed, self.decided = self.agreed + int(same.sum()), self.decided + same.size

    def merge(self, other: Self) -> None:
        super().merge(other)
        self.agreed, self.decided = self.agreed + other.agreed, self.decided + other.decided

    def of_use(self, labels: Labels) -> NDArray[np.bool_]:
        """Only labelled images: the agreement of the others is summed up already."""
        return is_labelled(labels)

    def figures(self) -> Figures:
        """Return the agreement, and with labels the accuracy of both models."""
        found: Figures = {"agreement": self.agreed / self.decided}
        if self.labelled:
            exact, other = self.all_answers()
            truth = np.concatenate([as_truth(labels, exact.shape[1]) for labels in self.labels])
            found["f1_reference"], found["f1_candidate"] = f1(exact, truth), f1(other, truth)
            if (truth == truth[0]).all():  # no class divides the images: any answers have the same precision
                return found
            precisions = [mean_average_precision(answers, truth) for answers in (exact, other)]
            found["map_reference"], found["map_candidate"] = precisions
            found["drop_points"] = 100 * (precisions[0] - precisions[1])
        return found


def is_sparse(labels: NDArray[np.int64]) -> bool:
    """Return whether the middle image of (N,) has fewer than LEAST_OTHERS others of its class."""
    _, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return bool(np.median(counts[numbers]) - 1 < LEAST_OTHERS)


def is_labelled(labels: Labels) -> NDArray[np.bool_]:
    """Return which images are labelled, (N,); where an image may have several labels, none is one, too."""
    if labels.ndim == LABEL_MAPS:
        return (labels != UNLABELLED).any(axis=(1, 2))  # type: ignore[no-any-return]
    known: NDArray[np.bool_] = labels != UNLABELLED if labels.ndim == 1 else np.ones(len(labels), bool)
    return known


def as_truth(labels: Labels, classes: int) -> NDArray[np.bool_]:
    """Return (N, classes) which decisions are right, from the labels of labelled images."""
    if labels.ndim == 1:
        return np.eye(classes, dtype=bool)[labels]
    return np.pad(labels.astype(bool), ((0, 0), (0, classes - labels.shape[1])))


def mean_average_precision(answers: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """Return the mean over the classes that any image has of the precision, averaged over its images.

    answers, truth: (N, classes). The average precision of scikit-learn: the sum over thresholds of the gain
    in recall times the precision.
    """
    precisions = []
    for scores, right in zip(answers.T, truth.T, strict=True):
        if right.any():
            precisions.append(average_precision(scores, right))
    return float(np.mean(precisions))


def average_precision(scores: NDArray[np.float32], right: NDArray[np.bool_]) -> float:
    """Return the average precision of one class. Equal scores are one threshold, as INT8 has many."""
    order = np.argsort(-scores, kind="stable")
    last_of_equals = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(right[order])[last_of_equals]
    precision = hits / (np.flatnonzero(last_of_equals) + 1)
    recall_gain = np.diff(hits, prepend=0) / right.sum()
    return float((precision * recall_gain).sum())


def f1(answers: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """Return the F1 of all decisions together (micro average), at a probability of one half."""
    decided = answers > THRESHOLD
    right = int((decided & truth).sum())
    return 2 * right / max(int(decided.sum()) + int(truth.sum()), 1)
