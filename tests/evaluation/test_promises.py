"""What a model answers is what its sidecar tells, or an error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from support.small_artifacts import DESCRIPTION

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Description
from convnext_edge.detection import Detection
from convnext_edge.errors import TargetError
from convnext_edge.evaluation.promises import promised
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.targets.base import Outputs
from convnext_edge.tasks import Task

PLACES, CLASSES = 5, 4
ROWS, COLUMNS = 32, 64


def described(task: Task, **changes: object) -> Description:
    """Return what a sidecar tells of a model of four classes."""
    architecture = Architecture((1,), (8,), classes=CLASSES, **changes)  # type: ignore[arg-type]
    seen = Preprocessing(ROWS, width=COLUMNS)
    return replace(DESCRIPTION, task=task, architecture=architecture, preprocessing=seen)


def detector(library: str = "torchvision") -> Description:
    found = Detection(library, detections=PLACES)  # type: ignore[arg-type]
    return described("detect", decoder="mask_rcnn", detection=found, pooled=False)


def ask(answer: Outputs, model: Description) -> Outputs:
    return promised(lambda images: answer, model)(np.zeros((1, 3, ROWS, COLUMNS), np.float32))


def objects(
    box: tuple[float, ...] = (0, 0, COLUMNS, ROWS), label: float = 1, score: float = 1.0
) -> tuple[NDArray[np.float32], ...]:
    """Return one object, and places without any, of which nothing is asked."""
    boxes, labels, scores = np.full((1, PLACES, 4), 1e30), np.full((1, PLACES), -1.0), np.full((1, PLACES), 7)
    boxes[0, 0], labels[0, 0], scores[0, 0] = box, label, score
    masks = np.zeros((1, PLACES, 28, 28))
    return tuple(each.astype(np.float32) for each in (boxes, labels, scores, masks))


@pytest.mark.parametrize(
    ("model", "answer"),
    [
        (described("classify"), (np.zeros((1, CLASSES), np.float32),)),
        (described("segment", decoder="upernet"), (np.zeros((1, CLASSES, ROWS, COLUMNS), np.float32),)),
        (described("embed"), (np.zeros((1, 8), np.float32),)),
        (described("features", maps=(0,), pooled=False), (np.zeros((1, 8, 3, 5), np.float32),)),
        (detector(), objects()),
        (detector(), objects(box=(-0.5, -0.5, COLUMNS + 0.5, ROWS + 0.5), label=CLASSES - 1, score=0)),
        (detector("mmdetection"), objects(label=0)),
    ],
)
def test_what_a_sidecar_promises_is_taken_as_it_is(model: Description, answer: Outputs) -> None:
    assert ask(answer, model) is answer


@pytest.mark.parametrize(
    ("model", "answer", "why"),
    [
        (described("classify"), (np.zeros((1, 5), np.float32),), "an image with 5, not with logits 4"),
        (described("classify"), 2 * (np.zeros((1, 4), np.float32),), "with 4, 4, not with logits 4"),
        (described("classify"), (np.zeros(1, np.float32),), "with one number, not"),
        (described("segment", decoder="upernet"), (np.zeros((1, 4, 8, 8), np.float32),), "4x8x8, not"),
        (described("embed"), (np.zeros((1, 8, 1), np.float32),), "with 8x1, not with embedding [?]"),
        (detector(), objects()[:3], "not with boxes 5x4, labels 5, scores 5, masks 5x28x28"),
        (detector(), objects(label=0), "a label that is none of its 3 classes"),
        (detector(), objects(label=CLASSES), "a label that is none of its 3 classes"),
        (detector(), objects(label=-2), "a label that is none of its 3 classes"),
        (detector(), objects(label=1.5), "a label that is none of its 3 classes"),
        (detector(), objects(label=2.0**62), "a label that is none of its 3 classes"),
        (detector("mmdetection"), objects(label=CLASSES), "a label that is none of its 4 classes"),
        (detector(), objects(score=5), "a score that is none from 0 to 1"),
        (detector(), objects(box=(0, 0, 1e8, 9)), "a box outside of its input of 64x32 pixels"),
        (detector(), objects(box=(-1e30, 0, 9, 9)), "a box outside of its input of 64x32 pixels"),
        (detector(), objects(box=(0, 0, 9, ROWS + 2)), "a box outside of its input of 64x32 pixels"),
    ],
)
def test_what_it_does_not_promise_is_an_error(model: Description, answer: Outputs, why: str) -> None:
    with pytest.raises(TargetError, match=why) as caught:
        ask(answer, model)
    assert "make it again" in (caught.value.hint or "")
