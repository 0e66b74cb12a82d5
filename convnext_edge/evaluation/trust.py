"""Whether labels and a comparison on them can be believed, and whether a gate on it can fail."""

from __future__ import annotations

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.errors import ImageSetError, UsageError
from convnext_edge.evaluation.metrics import Comparison, wilson
from convnext_edge.images.image_set import ImageSet

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


def decide_drop(found: Comparison, max_drop: float) -> tuple[bool, tuple[str, ...]]:
    """Return whether no more than `max_drop` points are lost, and why that says nothing, as sentences.

    It is not held where the reference gets so few images right that no candidate could lose more.
    """
    top1 = 100 * found.top1[0] / found.labelled
    if top1 <= max_drop:
        why = (
            f"the reference gets {top1:.2f} % right: a gate of {max_drop:g} points cannot fail, so is not met"
        )
        return False, (why,)
    return found.drop_points <= max_drop, ()


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
        return
    classes = artifact.description.architecture.classes
    found = len(images.classes) or 1 + max((entry.label for entry in images.entries), default=-1)
    if images.labelled and (found > classes or (images.classes and found != classes)):
        raise ImageSetError(
            f"{images.name} has {found} classes, {artifact.path.name} tells {classes} apart",
            hint="Give images of the model's own classes, or --classes FILE with the names of all of them.",
        )


def check_gates(max_drop: float | None, min_agreement: float | None, classes: int) -> None:
    """Raise UsageError for a gate that no classifier can fail. classes: that the model tells apart.

    `Gates.check` knows the bounds that no model of any task can fail.
    """
    given = {"max-drop": max_drop, "min-agreement": min_agreement}
    for name, value in given.items():
        if value is not None and classes == 1:
            raise UsageError(
                f"--{name} cannot fail: the model has one output, which is always the largest",
                hint="Leave the gate out, and look at the SQNR.",
            )
    if max_drop is not None and max_drop >= 100:
        raise UsageError(f"--max-drop {max_drop:g} cannot fail: there are 100 points", hint="Give fewer.")
