"""The labels of a set's class folders, as the library numbers them that a model was trained with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from convnext_edge.artifacts.artifact import Description
from convnext_edge.checkpoints.class_names import names_of_file
from convnext_edge.checkpoints.object_labels import as_detected
from convnext_edge.errors import UsageError
from convnext_edge.images.class_order import by_names, renumber, sort_classes
from convnext_edge.images.contents import COLUMNS, ClassOrder
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.synsets import SYNSET
from convnext_edge.progress import note

SORT_AS_TEXT = (
    "official",
    "torchvision",
    "transformers",
    "mmpretrain",
)  # how checkpoints of these libraries begin


@dataclass(frozen=True)
class Numbering:
    """The options that say which class folder has which label."""

    order: ClassOrder | None = None
    file: Path | None = None  # with the names of all classes by label

    def check(self, images: ImageSet) -> None:
        """Raise UsageError for options that do not fit each other, or the set."""
        if self.file is not None and self.order is not None:
            raise UsageError("--classes and --class-order exclude each other", hint="Give one of the two.")
        if images.numbered_by is None and self.order is not None:
            raise UsageError(
                f"--class-order means nothing for {images.name}: no names number its classes",
                hint="Leave it out.",
            )
        if images.mapped and self.file is not None:
            raise UsageError(
                f"--classes {self.file} means nothing for {images.name}: the pixels of its label maps have"
                " numbers, which are taken as those of the model's classes",
                hint="Leave it out.",
            )

    def names(self, model: Description) -> tuple[str, ...]:
        """Return the names of a model's classes in `file`; none without one."""
        return () if self.file is None else names_of_file(self.file, model.architecture.classes).names

    def for_model(self, model: Description) -> Callable[[ImageSet], ImageSet]:
        """Return what gives a set the labels that its classes have in the model."""
        return partial(self.apply, model=model)

    def apply(self, images: ImageSet, model: Description) -> ImageSet:
        """Return the set with the labels that its classes have in the model.

        They are those of `file`, else of the model's own names where the set has no others, else of the
        folders in `order`, by default that of the checkpoint's library. Where the orders differ, a note says
        which was taken. Raises UsageError for options that do not fit the set.
        """
        self.check(images)
        if images.mapped != (model.task == "segment") or images.boxed != (model.task == "detect"):
            return without_labels(images, model)
        if images.mapped or images.boxed:
            return as_detected(images, model, self.names(model)) if images.boxed else images
        classes = model.architecture.classes
        if self.file is not None:
            return by_names(images, self.file, classes)
        tell_missing_columns(images, classes)
        known = set(model.classes)
        unique = len(model.classes) == len(known) == classes  # transformers' ImageNet has two cranes
        if images.numbered_by is None:
            return as_named(images, model.classes) if unique else images
        if self.order is None and unique and set(images.classes) <= known:
            return renumber(images, model.classes, "names")
        if images.numbered_by != COLUMNS or self.order is not None:
            order = self.order or order_of(model.layout)
            images = in_order(images, order, asked=self.order is not None)
        if unique and self.order is None:
            tell_other_names(images, model.classes)
        return images


def without_labels(images: ImageSet, model: Description) -> ImageSet:
    """Return a set without labels that mean nothing to the model, and say so where it has any."""
    if images.labelled:
        told = "objects" if images.boxed else "labels of whole images"
        kind = "label maps" if images.mapped else told
        note(f"{images.name} has {kind}, which task {model.task} does not use")
    return images.without_labels()


def as_named(images: ImageSet, names: tuple[str, ...]) -> ImageSet:
    """Return a set that numbers and names its classes with the labels that the names have in the model.

    names: of the model's classes. Sets of other classes, and without names, stay as they are.
    """
    own = images.classes
    if not own or len(set(own)) < len(own) or not set(own) <= set(names) or own == names[: len(own)]:
        return images
    here = next(label for label, name in enumerate(own) if name != names[label])
    note(
        f"classes of {images.name} are numbered by their names, as the model has them: class {here} is"
        f" {names[here]!r}, not {own[here]!r}"
    )
    return renumber(images, names, "names")


def tell_other_names(images: ImageSet, names: tuple[str, ...]) -> None:
    """Say that a set has other names of classes than the model, so that their order alone numbers them.

    Not of ImageNet's folders: synsets, whose order all models have, whatever they call the classes.
    """
    other = sorted(set(images.classes) - set(names))
    if names and other and not all(map(SYNSET.fullmatch, images.classes)):
        pairs = enumerate(zip(images.classes, names, strict=False))
        first = next((n for n, (own, its) in pairs if own != its), None)
        differs = (
            ""
            if first is None
            else (f": class {first} is {images.classes[first]!r}, which the model calls {names[first]!r}")
        )
        note(
            f"{images.name} has the class {other[0]!r}, which the model does not name, so classes are"
            f" numbered by their order{differs}; --classes changes it"
        )


def tell_missing_columns(images: ImageSet, classes: int) -> None:
    """Say that a table has columns of some classes only, so that no image shows one of the others."""
    told = len(images.classes)
    if images.numbered_by == COLUMNS and told < classes:
        note(
            f"the table of {images.name} has columns of {told} classes, the model has {classes}: no image"
            f" counts as one of the other {classes - told}"
        )


def in_order(images: ImageSet, order: ClassOrder, *, asked: bool) -> ImageSet:
    """Return the set with its classes in that order, and the labels that the other one would give."""
    natural, text = (sort_classes(images.classes, kind) for kind in ("natural", "text"))
    if natural == text:
        return images
    taken, other = (natural, text) if order == "natural" else (text, natural)
    if not asked:
        here = next(place for place, (a, b) in enumerate(zip(taken, other, strict=True)) if a != b)
        note(
            f"classes of {images.name} are numbered in {order} order: class {here} is"
            f" {taken[here]!r}, not {other[here]!r}; --class-order or --classes change it"
        )
    numbered = renumber(images, taken, order)
    return numbered.with_other_labels(tuple(other.index(name) for name in taken))


def order_of(layout: str | None) -> ClassOrder:
    """Return the order in which the library of a checkpoint's layout sorts folders; natural if unknown."""
    return "text" if layout is not None and layout.startswith(SORT_AS_TEXT) else "natural"
