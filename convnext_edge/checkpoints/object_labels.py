"""The labels of the objects in a set, as a detector numbers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from convnext_edge.artifacts.artifact import Description
from convnext_edge.detection import Detection
from convnext_edge.errors import ImageSetError, first_few
from convnext_edge.images.image_set import ImageSet
from convnext_edge.progress import note

NAMES = (
    "Give --classes FILE, the names of all classes in the order of the model, as the annotations have them."
)


def as_detected(images: ImageSet, model: Description, names: Sequence[str] = ()) -> ImageSet:
    """Return a set whose objects have the labels of the model.

    They are those of the same names, where names of the model's classes are known; else the numbers of the
    file, as torchvision's detectors have them, or their order, as mmdetection's, which a note says. Classes
    without an object need no label. names: of a user's file, which come before those of the model. Raises
    ImageSetError where none fits.
    """
    labels = labels_of(images, model, names or model.classes)
    entries = tuple(
        replace(entry, objects=tuple(replace(o, label=labels[o.label]) for o in entry.objects or ()))
        for entry in images.entries
    )
    made: ImageSet = replace(images, entries=entries)
    return made


def labels_of(images: ImageSet, model: Description, names: Sequence[str]) -> dict[int, int]:
    """Return the label of each number that objects have for a class; raise ImageSetError as `as_detected`.

    names: of the model's classes; empty where they are not known.
    """
    detection, classes = model.architecture.detection, model.architecture.classes
    assert detection is not None
    met = {found.label for entry in images.entries for found in entry.objects or ()}
    used = [(number, name) for number, name in images.categories if number in met]
    if names:
        return by_name(images, used, names, detection)
    numbers = [number for number, _ in images.categories]
    if detection.background_first and all(0 < number < classes for number in met):
        labels = {number: number for number in met}
    elif not detection.background_first and len(numbers) == classes:
        labels = {number: numbers.index(number) for number in met}
    else:
        told = first_few([name for _, name in images.categories])
        raise ImageSetError(
            f"{images.name} tells {len(numbers)} classes of objects, as {told}, and the model has"
            f" {classes} others",
            hint=NAMES,
        )
    if used:
        (number, name), way = used[0], "number" if detection.background_first else "place in the file"
        note(
            f"classes of {images.name} are those of the model by their {way}: {name} is class"
            f" {labels[number]}; --classes tells the names"
        )
    return labels


def by_name(
    images: ImageSet, used: Sequence[tuple[int, str]], names: Sequence[str], detection: Detection
) -> dict[int, int]:
    """Return the label of each class that objects have, by its name; raise ImageSetError for any other name.

    used: numbers and names of these classes.
    """
    labels = {}
    for number, name in used:
        known = [label for label, own in enumerate(names) if own == name]
        if known[:1] == [0] and detection.background_first:
            raise ImageSetError(
                f"{images.name} has objects of class {name}, which is the background of the model", hint=NAMES
            )
        if len(known) != 1:
            how = "has several times" if known else "does not have"
            raise ImageSetError(
                f"{images.name} has objects of class {name}, which the model {how} among"
                f" {first_few(list(names))}",
                hint=NAMES,
            )
        labels[number] = known[0]
    return labels
