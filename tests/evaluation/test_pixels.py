"""Agreement and mIoU of classes of pixels, against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest

from convnext_edge.architecture import Architecture
from convnext_edge.errors import ImageSetError, UsageError
from convnext_edge.evaluation.comparison import Answered, sum_up
from convnext_edge.evaluation.gates import Gates, judge
from convnext_edge.evaluation.pixels import Pixels, confusion, mean_iou

LABELS = np.array([[[0, 0, 1], [1, 2, -1]]])  # one image of 2 x 3 pixels; the last has no class
REFERENCE = np.array([[[0, 0, 1], [1, 2, 2]]])  # all right
CANDIDATE = np.array([[[0, 1, 1], [1, 2, 0]]])  # one of the zeros is taken for a one


def logits(classes: np.ndarray, count: int = 4) -> np.ndarray:
    return np.eye(count, dtype=np.float32)[classes].transpose(0, 3, 1, 2)


def measured(labels: np.ndarray = LABELS) -> Pixels:
    found = Pixels(("logits",))
    found.add_outputs((logits(REFERENCE),), (logits(CANDIDATE),), labels)
    return found


def test_the_iou_of_each_labelled_class_is_averaged() -> None:
    figures = measured().figures()
    assert figures["agreement"] == pytest.approx(4 / 6)
    assert figures["miou_reference"] == 1
    # 0: one of two; 1: two of three; 2: one of one; 3 has no label
    assert figures["miou"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert figures["drop_points"] == pytest.approx(100 * (1 - (1 / 2 + 2 / 3 + 1) / 3))


def test_images_add_up_to_one_iou_and_not_to_a_mean_of_many() -> None:
    other = np.array([[[1, 1, 1], [1, 1, 1]]])
    found = measured()
    found.add_outputs((logits(other),), (logits(other),), other)
    assert found.figures()["miou"] == pytest.approx((1 / 2 + 8 / 9 + 1) / 3)
    apart = measured()
    apart.merge(measured(np.full((1, 2, 3), -1)))
    assert apart.figures()["miou"] == measured().figures()["miou"]
    assert apart.images == 2


def test_without_label_maps_there_is_the_agreement_alone() -> None:
    found = measured(np.array([-1]))
    assert found.figures().keys() == {"agreement"}
    judged = judge(found, Gates(min_agreement=0.5), "segment", 4)
    assert judged.passed
    assert not judge(found, Gates(min_agreement=0.9), "segment", 4).passed


def test_of_a_single_class_neither_agreement_nor_miou_is_told() -> None:
    """Whatever the logits are, it is the largest."""
    found = Pixels(("logits",))
    found.add_outputs((logits(0 * REFERENCE, 1),), (-logits(0 * REFERENCE, 1),), 0 * LABELS)
    assert found.figures() == {}
    assert "one class" in found.concerns[0]
    assert found.worst_sqnr_db is not None
    one = Architecture((1,), (8,), classes=1)
    for gate in (Gates(max_drop=1.0), Gates(min_agreement=0.9)):
        with pytest.raises(UsageError, match="one output, which is always the largest"):
            gate.check("segment", one, labelled=True, images="pictures")


def test_a_drop_of_the_miou_is_a_gate() -> None:
    assert not judge(measured(), Gates(max_drop=1.0), "segment", 4).passed
    assert judge(measured(), Gates(max_drop=30.0), "segment", 4).passed


def test_a_label_that_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(ImageSetError, match="class 4, counted from 0, and the model tells 4") as refused:
        confusion(np.array([[[4]]]), np.array([[[0]]]), 4)
    assert "--label-zero none" in (refused.value.hint or "")


@pytest.mark.parametrize(("by", "told"), [(1, "lower"), (-1, "higher")])
def test_labels_that_are_one_off_decide_no_gate(by: int, told: str) -> None:
    """By hand: all five pixels would be right; with -1, the zeros have no label."""
    found = measured(np.where(LABELS < 0, -1, LABELS + by))
    (concern,) = found.concerns
    assert f"0.00% of the pixels right, and 100.00% with labels that are one {told}" in concern
    judged = judge(found, Gates(max_drop=99.0, min_agreement=0.5), "segment", 4)
    assert not judged.passed
    assert judged.doubts[-1:] == judged.warnings == (concern,)
    assert not judged.faults["agreement"], "needs no label"


def test_labels_that_the_reference_never_meets_raise_a_concern() -> None:
    assert measured().concerns == ()
    (concern,) = measured(np.array([[[2, 3, 3], [0, 0, 3]]])).concerns
    assert "no better than chance" in concern


def test_labels_in_another_order_decide_no_gate() -> None:
    """By hand: five of six pixels would be right, as (LABELS + 2) % 4 has a one where there was no label."""
    found = measured((LABELS + 2) % 4)
    (concern,) = found.concerns
    assert "83.33% with its classes in another order, where label 2 is 0" in concern
    assert judge(found, Gates(max_drop=99.0), "segment", 4).faults["drop"] == concern


@pytest.mark.parametrize(("names", "where"), [(("a",), "; in a"), (("a", "b"), "; in one of a, b")])
def test_a_label_that_the_model_does_not_have_is_told_with_its_picture(
    names: tuple[str, ...], where: str
) -> None:
    answers = (np.repeat(logits(REFERENCE), len(names), 0),)
    labels = np.repeat(np.full_like(LABELS, 7), len(names), 0)
    with pytest.raises(ImageSetError, match=f"class 7, .*{where}\n"):
        sum_up([Answered(answers, answers, labels, names)], Pixels(("logits",)))


def test_confusion_counts_each_pixel_once() -> None:
    found = confusion(LABELS, CANDIDATE, 4)
    assert found.sum() == 5
    assert found[0].tolist() == [1, 1, 0, 0]
    assert mean_iou(np.diag([3, 2, 0, 0])) == 1
