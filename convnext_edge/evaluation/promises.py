"""What an artifact's sidecar promises of its answers: their number and shapes, and of a detector their range.

A graph may have any outputs, and a sidecar may be of another graph, or written by hand: names of classes
would be wrong, or taken from nowhere, and masks be drawn over boxes that take all memory.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convnext_edge.artifacts.artifact import Description
from convnext_edge.detection import BOX, MASK_EDGE
from convnext_edge.errors import TargetError
from convnext_edge.evaluation.comparison import Answer
from convnext_edge.images.objects import NO_LABEL
from convnext_edge.targets.base import Images, Outputs
from convnext_edge.tasks import OF_HEADS, output_names

Wanted = tuple[int | None, ...]  # edges of the answer to one image; None for one that is not promised
HINT = "Its sidecar is of another model: make it again, or get it again from where it is."
BESIDE = 1.0  # pixels beyond the input that rounding may take a box


def promised(answer: Answer, described: Description) -> Answer:
    """Return what answers as `answer` does, and raises TargetError where the sidecar tells otherwise."""

    def checked(images: Images) -> Outputs:
        outputs = answer(images)
        check_shapes(outputs, described)
        if described.task == "detect":
            check_objects(outputs, described)
        return outputs

    return checked


def check_shapes(outputs: Outputs, described: Description) -> None:
    """Raise TargetError for another number of outputs than the sidecar tells, or others than of its task."""
    names, found = output_names(described.task, described.architecture), [each.shape[1:] for each in outputs]
    wanted = [shape_of(name, described) for name in names]
    if len(found) != len(wanted) or not all(map(fits, found, wanted)):
        text = ", ".join(f"{name} {shape_text(shape)}" for name, shape in zip(names, wanted, strict=True))
        raise TargetError(
            f"the model answers an image with {', '.join(map(shape_text, found))}, not with {text}", hint=HINT
        )


def shape_of(name: str, described: Description) -> Wanted:
    """Return the shape of one output for one image."""
    architecture, detection = described.architecture, described.architecture.detection
    if described.task == "segment":
        return (architecture.classes, *described.preprocessing.size)
    if detection is not None:
        count, fine = detection.detections, 2 * MASK_EDGE
        return {"boxes": (count, BOX), "masks": (count, fine, fine)}.get(name, (count,))
    if name.startswith("map"):
        return (None, None, None)
    return (architecture.classes if described.task in OF_HEADS else None,)


def fits(found: tuple[int, ...], wanted: Wanted) -> bool:
    """Return whether a shape is as promised."""
    return len(found) == len(wanted) and all(
        each in (own, None) for own, each in zip(found, wanted, strict=True)
    )


def shape_text(shape: Wanted) -> str:
    """Return a shape for a message, as 10x4."""
    return "x".join("?" if edge is None else str(edge) for edge in shape) or "one number"


def check_objects(outputs: Outputs, described: Description) -> None:
    """Raise TargetError for objects of no class, surer than sure, or outside of what a detector sees."""
    boxes, labels, scores, _ = outputs
    architecture, (rows, columns) = described.architecture, described.preprocessing.size
    assert architecture.detection is not None
    hit = labels != NO_LABEL
    first = int(architecture.detection.background_first)
    of_none = (labels < first) | (labels >= architecture.classes) | (labels != np.floor(labels))
    most = np.array([columns, rows, columns, rows]) + BESIDE
    outside = ((boxes < -BESIDE) | (boxes > most)).any(axis=-1)
    wrong = {
        f"a label that is none of its {architecture.classes - first} classes": of_none,
        "a score that is none from 0 to 1": (scores < 0) | (scores > 1),
        f"a box outside of its input of {columns}x{rows} pixels": outside,
    }
    for what, places in wrong.items():
        refuse(hit & places, what)


def refuse(places: NDArray[np.bool_], what: str) -> None:
    """Raise TargetError where anything is wrong."""
    if places.any():
        raise TargetError(f"the model answers with {what}", hint=HINT)
