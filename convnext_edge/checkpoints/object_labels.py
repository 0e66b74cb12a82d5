"""The labels of the objects in a set, as a detector numbers them."""

from __future__ import annotations

from dataclasses import replace

from convnext_edge.artifacts.artifact import Description
from convnext_edge.errors import ImageSetError, first_few
from convnext_edge.images.image_set import ImageSet


def as_detected(images: ImageSet, model: Description) -> ImageSet:
    """Return a set whose objects have the labels of the model.

    They are those of the same names, where the model has names; else the numbers of the file, as
    torchvision's detectors have them, or their order, as mmdetection's. Raises ImageSetError where none fits.
    """
    detection, classes = model.architecture.detection, model.architecture.classes
    assert detection is not None
    numbers, names = zip(*images.categories, strict=True)
    if set(names) <= set(model.classes):
        labels = {number: model.classes.index(name) for number, name in images.categories}
    elif detection.background_first and max(numbers) < classes and min(numbers) > 0:
        labels = {number: number for number in numbers}
    elif not detection.background_first and len(numbers) == classes:
        labels = {number: place for place, number in enumerate(numbers)}
    else:
        raise ImageSetError(
            f"{images.name} tells {len(numbers)} classes of objects, as {first_few(names)}, and the model has"
            f" {classes} others",
            hint="Export with --classes FILE, the names of all classes as the annotations have them.",
        )
    entries = tuple(
        replace(entry, objects=tuple(replace(o, label=labels[o.label]) for o in entry.objects or ()))
        for entry in images.entries
    )
    made: ImageSet = replace(images, entries=entries)
    return made
