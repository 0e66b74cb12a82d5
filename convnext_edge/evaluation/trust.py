"""Whether labels and a comparison on them can be believed, and whether a gate on it can fail."""

from __future__ import annotations

from collections import Counter

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.errors import ImageSetError
from convnext_edge.evaluation.label_order import OtherOrder, other_order
from convnext_edge.evaluation.metrics import Comparison, wilson
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.label_maps import IGNORED

FEWEST = 5  # images of a label that tell what the reference calls it
OF_LABELS = ("classify", "multilabel")  # tasks whose outputs are classes of the images


def concerns(found: Comparison, classes: int) -> tuple[str, ...]:
    """Return why labels and model may not belong together, as sentences.

    classes: that the model tells apart.
    """
    if not found.labelled:
        return ()
    right, total = found.top1[0], found.labelled
    if in_wrong_order(found):
        return (
            f"the reference gets {right / total:.2%} right with this order of the classes, and"
            f" {found.other_top1 / total:.2%} with the other: give --class-order or --classes",
        )
    if other := in_any_order(found):
        return (
            f"the reference gets {right / total:.2%} right, and {other.right / total:.2%} with its classes in"
            f" another order, where label {other.label} is {other.answer}: give --classes",
        )
    if classes > 1 and wilson(right, total)[0] <= 1 / classes:
        return (
            f"the reference gets {right / total:.2%} right, which is no better than chance"
            f" ({1 / classes:.2%}): labels and model may not belong together",
        )
    return ()


def in_wrong_order(found: Comparison) -> bool:
    """Return whether the reference is far better in the other order: the two 95 % intervals do not meet."""
    total = found.labelled
    if not (total and found.other_labels):
        return False
    return wilson(found.other_top1, total)[0] > wilson(found.top1[0], total)[1]


def in_any_order(found: Comparison) -> OtherOrder | None:
    """Return the order of the classes in which the reference is far better, whatever it is; None without one.

    Labels of few images tell nothing of it: any answer to one image is of some order.
    """
    images: Counter[int] = Counter()
    for (label, _), count in found.named.items():
        images[label] += count
    met = {pair: count for pair, count in found.named.items() if images[pair[0]] >= FEWEST}
    return other_order(met) if 2 * sum(met.values()) > found.labelled else None


def unfit_drop(right: float, max_drop: float) -> tuple[str, ...]:
    """Return, as a sentence, that no candidate could lose more than a gate allows; none where one could.

    right: what can be lost, as a fraction: of the images that it gets right, or its mean average precision.
    """
    if 100 * right > max_drop:
        return ()
    return (
        f"the reference gets {100 * right:.2f} % right: a gate of {max_drop:g} points cannot fail,"
        " so is not met",
    )


def undecided_drop(interval: tuple[float, float], max_drop: float, images: int) -> tuple[str, ...]:
    """Return, as a sentence, that so few images do not decide a gate; none where they do.

    interval: of the drop, 95 %, in points. The gate goes by the drop itself: the limit in its interval means
    that other images could as well have given the other answer.
    """
    low, high = interval
    if not low <= max_drop < high:
        return ()
    return (
        f"{images} images do not decide the gate: the drop is {low:+.2f} to {high:+.2f} points (95 %), and"
        f" {max_drop:g} may be lost; give more images",
    )


def check_classes(images: ImageSet, artifact: Artifact) -> None:
    """Raise ImageSetError where the labels of the images cannot be those of the model.

    Whatever depends on labels asks this first: a gate, figures of accuracy, training with labels. To a model
    of another task than those of OF_LABELS, labels are no classes of its own.
    """
    if artifact.description.task not in OF_LABELS:
        if images.mapped and artifact.description.task == "segment":
            check_bytes(images, artifact)
        return
    if images.several and artifact.description.task == "classify":
        raise ImageSetError(
            f"the images of {images.name} may have several labels, or none; {artifact.path.name} gives one",
            hint="Give images with one label each. Where labels hold each by itself, the model is exported"
            " with --task multilabel.",
        )
    classes = artifact.description.architecture.classes
    found = images.class_count
    if images.labelled and (found > classes or (images.classes and found != classes)):
        raise ImageSetError(
            f"{images.name} has {found} classes, {artifact.path.name} has {classes}",
            hint="Give images of the model's own classes, or --classes FILE with the names of all of them.",
        )


def check_bytes(images: ImageSet, artifact: Artifact) -> None:
    """Raise ImageSetError where a class has no byte in label maps, in which the last one stands for none."""
    described = artifact.description
    first = 1 if described.preprocessing.label_zero == "none" else 0
    if first + described.architecture.classes > IGNORED:
        raise ImageSetError(
            f"{artifact.path.name} has {described.architecture.classes} classes, and the label maps of"
            f" {images.name} tell {IGNORED - first} apart: {IGNORED} stands for no class in them",
            hint="Give images without label maps, and a gate that needs no labels.",
        )
