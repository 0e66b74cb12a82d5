"""Whether a comparison can be believed: chance, the order of the classes, and gates that cannot fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.small_artifacts import DESCRIPTION, write

from convnext_edge.architecture import Architecture
from convnext_edge.errors import ImageSetError
from convnext_edge.evaluation.gates import Gates, judge_classes
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.evaluation.trust import check_classes, concerns, in_wrong_order, undecided_drop
from convnext_edge.images.contents import Contents, Entry
from convnext_edge.images.folders import FolderStorage
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.preprocessing import LabelZero

CLASSES = 12
TEXT = sorted(map(str, range(1, CLASSES + 1)))  # 1, 10, 11, 12, 2, ...


def compared(
    right: int, wrong: int, other_labels: tuple[int, ...] = (), *, spread: bool = False
) -> Comparison:
    """Of images in turn of each class, so many are answered right, the others by the next class.

    spread: by all other classes in turn.
    """
    labels, rounds = np.arange(right + wrong) % CLASSES, np.arange(right + wrong) // CLASSES
    others = labels + 1 + (rounds % (CLASSES - 1) if spread else 0)
    answers = np.where(np.arange(right + wrong) < right, labels, others % CLASSES)
    found, logits = Comparison(other_labels=other_labels), np.eye(CLASSES)[answers]
    found.add(logits, logits, labels)
    return found


@pytest.mark.parametrize(
    ("right", "wrong", "chance"), [(54, 18, False), (6, 66, True), (0, 72, True), (3, 0, False)]
)
def test_a_reference_that_is_right_by_chance_is_told_of(right: int, wrong: int, chance: bool) -> None:
    said = concerns(compared(right, wrong, spread=True), CLASSES)
    assert len(said) == int(chance)
    assert all("is no better than chance (8.33%)" in text for text in said)


def test_a_reference_that_is_far_better_in_the_other_order_is_told_of() -> None:
    other = tuple((label + 1) % CLASSES for label in range(CLASSES))
    found = compared(5, 67, other)
    assert found.other_top1 == 67
    assert in_wrong_order(found)
    (said,) = concerns(found, CLASSES)
    assert "6.94% right with this order of the classes, and 93.06% with the other" in said
    assert not in_wrong_order(compared(67, 5, other))
    assert not in_wrong_order(compared(40, 32, other)), "nearly as good"
    assert not in_wrong_order(compared(5, 67))


@pytest.mark.parametrize("gates", [Gates(max_drop=3.0), Gates(min_agreement=0.9)])
def test_labels_in_whatever_order_decide_no_gate(gates: Gates) -> None:
    """As of a model that was trained on another list of the classes: here, each label is the next class."""
    judged = judge_classes(compared(20, 52), gates, CLASSES)
    assert not judged.passed
    (said,) = judged.doubts
    assert said in judged.warnings
    assert "gets 27.78% right, and 72.22% with its classes in another order, where label 8 is 9" in said
    assert judge_classes(compared(54, 18), gates, CLASSES).passed


@pytest.mark.parametrize("images", [CLASSES, 4 * CLASSES])
def test_few_images_of_a_label_tell_no_order(images: int) -> None:
    """Any answers to one image of each class are right in some order."""
    assert "another order" not in "".join(concerns(compared(0, images), CLASSES))
    assert "another order" in "".join(concerns(compared(0, 5 * CLASSES), CLASSES))


def test_a_drop_that_no_candidate_could_have_does_not_hold() -> None:
    assert judge_classes(compared(54, 18), Gates(max_drop=3.0), CLASSES).faults == {"drop": ""}
    judged = judge_classes(compared(0, 72, spread=True), Gates(max_drop=1.0), CLASSES)
    assert not judged.passed
    (why,) = judged.doubts
    assert "gets 0.00 % right: a gate of 1 points cannot fail" in why


def test_a_gate_that_few_images_do_not_decide_is_told_of() -> None:
    """By hand, of Agresti and Min's interval with half an image added to each count: 0 +- 1.96 / 74."""
    found = compared(54, 18)
    low, high = found.drop_ci95_points
    assert (low, high) == (pytest.approx(-2.65, abs=0.01), pytest.approx(2.65, abs=0.01))
    (said,) = undecided_drop((low, high), 1.0, 72)
    assert "72 images do not decide the gate: the drop is -2.65 to +2.65 points (95 %), and 1 may be" in said
    assert undecided_drop((low, high), 3.0, 72) == undecided_drop((low, high), -3.0, 72) == ()


@pytest.mark.parametrize(("labels", "said"), [([0, 1, 2, 3], "-"), ([-1] * 4, "+0.00")])
def test_a_gate_says_so_with_labels_and_without(labels: list[int], said: str) -> None:
    found, logits = Comparison(), np.eye(4)
    found.add(logits, logits, np.array(labels))
    judged = judge_classes(found, Gates(max_drop=1.0), 4)
    (sentence,) = judged.warnings
    assert f"4 images do not decide the gate: the drop is {said}" in sentence
    assert (judged.passed, judged.doubts) == (True, ())


def test_a_reference_in_the_wrong_order_meets_no_gate() -> None:
    found = compared(5, 67, tuple((label + 1) % CLASSES for label in range(CLASSES)))
    judged = judge_classes(found, Gates(min_agreement=0.5), CLASSES)
    assert judged.faults == {"agreement": "the classes are in another order"}
    assert judged.doubts == judged.warnings
    assert "with the other: give --class-order" in judged.warnings[0]
    assert judge_classes(found, Gates(), CLASSES).passed


@pytest.mark.parametrize(("zero", "most"), [("class", 255), ("none", 254)])
def test_classes_that_no_byte_of_a_label_map_stands_for_are_refused(
    zero: LabelZero, most: int, tmp_path: Path
) -> None:
    """255 stands for no class; else pixels of the last class would count nowhere."""
    entry = Entry("a.png", label_map="a.maps.png")
    images = ImageSet("maps", (), (entry,), Contents(FolderStorage(tmp_path)))
    prepared = replace(DESCRIPTION.preprocessing, label_zero=zero)
    for classes in (most, most + 1):
        heads = Architecture((1,), (8,), classes=classes)
        model = replace(DESCRIPTION, task="segment", preprocessing=prepared, architecture=heads)
        artifact = replace(write(tmp_path / "a.onnx"), description=model)
        if classes == most:
            check_classes(images, artifact)
        else:
            with pytest.raises(ImageSetError, match=f"has {classes} classes, .* tell {most} apart"):
                check_classes(images, artifact)
