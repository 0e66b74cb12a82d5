"""The names of a model's classes, from the images that it is calibrated or trained with.

Folders tell names, but not that these are the model's own classes in this order: its answers must show it.
"""

from __future__ import annotations

from convnext_edge.checkpoints.class_names import NAMELESS, ClassNames, fault, names_of_file
from convnext_edge.checkpoints.class_order import Numbering
from convnext_edge.checkpoints.source import Source
from convnext_edge.evaluation.metrics import wilson
from convnext_edge.images.class_order import sort_classes
from convnext_edge.images.image_set import ImageSet
from convnext_edge.progress import note
from convnext_edge.targets.torch import TorchSession
from convnext_edge.tasks import OF_HEADS

ASKED = 16  # images that the model must tell apart better than by chance
BATCH = 4
SHOWN = 3  # names in a note


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
    hits, total = _right(numbered, source)
    if wilson(hits, total)[0] <= 1 / classes:
        note(
            f"class names are not taken from {images.name}: the model gets {hits} of {total} images right by"
            " its labels, so that these may be other classes"
        )
        return NAMELESS
    return told(ClassNames(numbered.classes, images.name))


def told(found: ClassNames) -> ClassNames:
    """Say where class names are from, and return them."""
    more = ", …" if len(found.names) > SHOWN else ""
    note(f"class names are those of {found.source}: {', '.join(found.names[:SHOWN])}{more}")
    return found


def _is_sure(images: ImageSet) -> bool:
    """Tell whether all libraries number these folders alike."""
    return sort_classes(images.classes, "natural") == sort_classes(images.classes, "text")


def _right(images: ImageSet, source: Source) -> tuple[int, int]:
    """Return how many of some images the model gets right, and of how many."""
    drawn = images.subset(min(ASKED, len(images)), seed=0)
    session, hits, total = TorchSession(source.reference), 0, 0
    for batch in drawn.batches(source.preprocessing, batch=BATCH, dtype="float32"):
        hits += int((session.run(batch.images).argmax(1) == batch.labels).sum())
        total += len(batch)
    return hits, total
