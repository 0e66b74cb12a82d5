"""The names of a model's classes, from the images that it is calibrated or trained with.

Folders tell names, but not that these are the model's own classes in this order: its answers must show it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convnext_edge.checkpoints.class_names import NAMELESS, ClassNames, fault, names_of_file
from convnext_edge.checkpoints.class_order import Numbering
from convnext_edge.checkpoints.source import Source
from convnext_edge.errors import first_few
from convnext_edge.evaluation.metrics import wilson
from convnext_edge.images.class_order import sort_classes
from convnext_edge.images.image_set import ImageSet
from convnext_edge.progress import note
from convnext_edge.targets.torch import TorchSession
from convnext_edge.tasks import OF_HEADS

FEWEST, MOST, EACH = 16, 48, 3  # images that the model is asked, of each class; it must get most right
BATCH = 4


def names_of_images(images: ImageSet, source: Source, numbering: Numbering) -> ClassNames:
    """Return the names of the model's classes: those of `numbering.file`, else of the images' classes.

    Nothing is returned where the model has names already, for another number of classes, where it is not sure
    which class has which label, and where the model's answers do not show that these are its own classes. Of
    the last two a note tells. Raises UsageError for a file of other classes.
    """
    classes = source.reference.architecture.classes
    if numbering.file is not None and source.task in OF_HEADS:
        return told(names_of_file(numbering.file, classes))
    if source.classes or source.task != "classify" or fault(images.classes, classes):
        return NAMELESS
    if images.numbered_by in ("natural", "text") and numbering.order is None and not _is_sure(images):
        note(
            f"class names are not taken from the folders of {images.name}: --class-order or --classes must"
            " tell their order"
        )
        return NAMELESS
    numbered = numbering.apply(images, source.describe())
    labels, answers = _asked(numbered, source)
    hits, total = int((labels == answers).sum()), len(labels)
    mixed = exchanged(labels, answers)
    if 2 * hits <= total or wilson(hits, total)[0] <= 1 / classes or mixed:
        why = f"it answers {numbered.classes[mixed[1]]!r} to {numbered.classes[mixed[0]]!r}" if mixed else ""
        note(
            f"class names are not taken from {images.name}: the model gets {hits} of {total} images right by"
            f" its labels{', and ' + why if why else ''}, so that these may be other classes, or others in"
            " their order; --classes tells the names"
        )
        return NAMELESS
    return told(ClassNames(numbered.classes, images.name))


def told(found: ClassNames) -> ClassNames:
    """Say where class names are from, and return them."""
    note(f"class names are those of {found.source}: {first_few(found.names)}")
    return found


def _is_sure(images: ImageSet) -> bool:
    """Tell whether all libraries number these folders alike."""
    return sort_classes(images.classes, "natural") == sort_classes(images.classes, "text")


def _asked(images: ImageSet, source: Source) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the labels of some images, and the classes that the model answers."""
    count = min(max(FEWEST, EACH * len(images.classes)), MOST, len(images))
    drawn = images.subset(count, seed=0)
    session = TorchSession(source.reference)
    labels, answers = [], []
    for batch in drawn.batches(source.preprocessing, batch=BATCH, dtype="float32"):
        labels.append(batch.labels)
        answers.append(session.run(batch.images).argmax(1))
    return np.concatenate(labels), np.concatenate(answers)


def exchanged(labels: NDArray[np.int64], answers: NDArray[np.int64]) -> tuple[int, int] | None:
    """Return two classes whose names are exchanged: most images of one are taken for the other, in a circle.

    Such are those of a set in another order. None where there are none.
    """
    mostly = {}
    for label in np.unique(labels).tolist():
        answered, counts = np.unique(answers[labels == label], return_counts=True)
        most = int(counts.argmax())
        if 2 * counts[most] > counts.sum() and answered[most] != label:
            mostly[label] = int(answered[most])
    for first in mostly:
        label = first
        for _ in mostly:
            label = mostly.get(label, -1)
            if label == first:
                return first, mostly[first]
    return None
