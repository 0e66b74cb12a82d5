"""How close a candidate's classes of pixels are to the reference's, and how right both are by label maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from convnext_edge.errors import ImageSetError
from convnext_edge.evaluation.closeness import LABEL_MAPS, Closeness, Figures
from convnext_edge.evaluation.label_order import FAR, other_order, pairs_of
from convnext_edge.images.batches import Labels
from convnext_edge.images.contents import UNLABELLED
from convnext_edge.images.windows import classes_at
from convnext_edge.targets.base import Outputs


class Pixels(Closeness):
    """The classes of pixels: the share that both models take for the same one, and with label maps the mIoU.

    The IoU of a class is the share of the pixels that are of it by label or by answer, which are so by both;
    pixels without a label do not count. The mIoU is the mean over the classes that any label map has, so that
    both models have the same ones.
    """

    def __init__(self, outputs: Sequence[str]) -> None:
        super().__init__(outputs)
        self.pixels = self.agreed = self.classes = 0
        self.confusions: list[
            NDArray[np.int64]
        ] = []  # of each model: (classes, classes) pixels, by label first

    def add_outputs(self, reference: Outputs, candidate: Outputs, labels: Labels) -> None:
        super().add_outputs(reference, candidate, labels)
        self.classes = reference[0].shape[1]
        size = labels.shape[1:] if labels.ndim == LABEL_MAPS else reference[0].shape[2:]
        answers = [label_maps(logits[0], size) for logits in (reference, candidate)]
        self.pixels += answers[0].size
        self.agreed += int((answers[0] == answers[1]).sum())
        if labels.ndim == LABEL_MAPS:
            self._add([confusion(labels, answer, self.classes) for answer in answers])

    def merge(self, other: Self) -> None:
        super().merge(other)
        self.classes = self.classes or other.classes
        self.pixels, self.agreed = self.pixels + other.pixels, self.agreed + other.agreed
        self._add(other.confusions)

    def _add(self, found: list[NDArray[np.int64]]) -> None:
        """Add the confusions of other images, or nothing where these have no label maps."""
        if self.confusions and found:
            found = [a + b for a, b in zip(self.confusions, found, strict=True)]
        self.confusions = found or self.confusions

    @property
    def other_numbers(self) -> tuple[str, ...]:
        """Why a drop of the mIoU says nothing: the reference is far better at other numbers of the labels."""
        if not self.confusions:
            return ()
        found, total = self.confusions[0], int(self.confusions[0].sum())
        right, (lower, higher) = int(np.trace(found)), (int(np.trace(found, offset=by)) for by in (-1, 1))
        best = max(lower, higher)
        if not (best > FAR * right and best * len(found) > total):
            return self.other_order
        return (
            f"the reference gets {right / total:.2%} of the pixels right, and {best / total:.2%} with labels"
            f" that are one {'lower' if lower == best else 'higher'}: 0 stands for something else in these"
            " label maps, see --label-zero of export",
        )

    @property
    def other_order(self) -> tuple[str, ...]:
        """Why a drop of the mIoU says nothing: the reference is far better in another order of classes."""
        found, total = self.confusions[0], int(self.confusions[0].sum())
        other = other_order(pairs_of(found))
        if other is None:
            return ()
        return (
            f"the reference gets {int(np.trace(found)) / total:.2%} of the pixels right, and"
            f" {other.right / total:.2%} with its classes in another order, where label {other.label} is"
            f" {other.answer}: give label maps that count the classes as the model does",
        )

    @property
    def concerns(self) -> tuple[str, ...]:
        """Why labels and model may not belong together, or why nothing is told of classes."""
        if self.classes == 1:
            return (
                "the model has one class, which is always the largest: only the SQNR tells how close it is",
            )
        other = self.other_numbers
        if other or not self.confusions or not self.confusions[0].any():
            return other
        right, total = int(np.trace(self.confusions[0])), int(self.confusions[0].sum())
        if right * len(self.confusions[0]) > total:
            return ()
        return (
            f"the reference gets {right / total:.2%} of the pixels right, which is no better than chance:"
            " label maps and model may not belong together, see --label-zero of export",
        )

    def figures(self) -> Figures:
        """Return the agreement, and with label maps the mIoU of both models; nothing of a single class."""
        if self.classes == 1:
            return {}
        found: Figures = {"agreement": self.agreed / self.pixels}
        if self.confusions and self.confusions[0].any():
            found["miou_reference"], found["miou"] = map(mean_iou, self.confusions)
            found["drop_points"] = 100 * (mean_iou(self.confusions[0]) - mean_iou(self.confusions[1]))
        return found


def label_maps(logits: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the class of each pixel of images with these rows and columns. logits: (N, classes, H, W)."""
    rows, columns = size
    return np.stack([classes_at(image, (rows, columns)) for image in logits])


def confusion(labels: Labels, answers: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Return how many pixels of each class are taken for each class, (classes, classes), labels first.

    labels, answers: (N, H, W); -1 for a pixel without a label. Raises ImageSetError for a label that the
    model does not have.
    """
    known = labels != UNLABELLED
    own = labels[known].astype(np.int64)
    if own.size and own.max() >= classes:
        raise ImageSetError(
            f"a label map has class {own.max()}, counted from 0, and the model tells {classes} classes apart",
            hint="Give label maps of the model's own classes. Where 0 stands for no class in them, export the"
            " model with --label-zero none.",
        )
    return np.bincount(own * classes + answers[known], minlength=classes**2).reshape(classes, classes)


def mean_iou(pixels: NDArray[np.int64]) -> float:
    """Return the mean IoU over the classes that labels have. pixels: as of `confusion`."""
    both = np.diag(pixels)
    either = pixels.sum(0) + pixels.sum(1) - both
    labelled = pixels.sum(1) > 0
    return float((both[labelled] / either[labelled]).mean())
