"""Calibration, agreement by groups and changed images, against arithmetic by hand."""

from __future__ import annotations

import numpy as np
import pytest

from convnext_edge.evaluation.answers import AnswerLog, calibration_error, softmax

NAMES = ("cat", "dog", "fox")
# Probabilities of the three classes, of four images; then those of the candidate, which changes the last two.
REFERENCE = np.array([[0.95, 0.03, 0.02], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.4, 0.35, 0.25]])
CANDIDATE = np.array([[0.97, 0.02, 0.01], [0.1, 0.8, 0.1], [0.4, 0.5, 0.1], [0.3, 0.3, 0.4]])
LABELS = np.array([0, 1, 1, 0])
IMAGES = ("a.png", "b.png", "c.png", "d.png")


def logged(labels: np.ndarray = LABELS) -> AnswerLog:
    """The four images in two batches."""
    log = AnswerLog()
    for part in (slice(0, 3), slice(3, 4)):
        logits = [np.log(each[part]).astype(np.float32) for each in (REFERENCE, CANDIDATE)]
        log.add((logits[0],), (logits[1],), labels[part], IMAGES[part])
    return log


def test_the_calibration_error_is_the_mean_distance_of_bins() -> None:
    # bins 10 (0.6 to 0.667), 12 and 13: 2 of 4 images in the first, where 1 of 2 is right
    probabilities = np.array([0.62, 0.66, 0.75, 0.85])
    right = np.array([True, False, True, True])
    expected = (abs(0.62 + 0.66 - 1) + abs(0.75 - 1) + abs(0.85 - 1)) / 4
    assert calibration_error(probabilities, right) == pytest.approx(expected)


def test_a_model_as_sure_as_it_is_right_has_no_calibration_error() -> None:
    right = np.arange(1000) % 4 != 0
    assert calibration_error(np.full(1000, 0.75), right) == pytest.approx(0)
    assert calibration_error(np.ones(1000), right) == pytest.approx(0.25)


def test_calibration_errors_are_those_of_each_model() -> None:
    found = logged().summed_up(NAMES)
    # each image lies in a bin of its own; the reference errs on the third
    assert found.reference_ece == pytest.approx((0.05 + 0.2 + 0.6 + 0.6) / 4, abs=1e-6)
    # the candidate errs on the last
    assert found.candidate_ece == pytest.approx((0.03 + 0.2 + 0.5 + 0.4) / 4, abs=1e-6)
    assert found.ece_bins == 15


def test_changed_images_have_their_names_and_both_answers() -> None:
    found = logged().summed_up(NAMES)
    assert found.changed_images == 2
    first, second = found.changed
    assert (first.image, first.label, first.reference, first.candidate) == ("c.png", "dog", "cat", "dog")
    assert (second.image, second.label, second.reference, second.candidate) == ("d.png", "cat", "cat", "fox")
    assert first.reference_probability == pytest.approx(0.6, abs=1e-6)
    assert first.candidate_probability == pytest.approx(0.5, abs=1e-6)


def test_agreement_is_told_of_each_class_and_of_how_sure_the_reference_is() -> None:
    found = logged().summed_up(NAMES)
    assert {row.name: (row.images, row.agreement) for row in found.by_class} == {
        "cat": (2, 0.5),
        "dog": (2, 0.5),
    }
    groups = {(row.least, row.most): (row.images, row.agreement) for row in found.by_confidence}
    assert groups == {(0.0, 0.5): (1, 0.0), (0.5, 0.7): (1, 0.0), (0.7, 0.9): (1, 1.0), (0.9, 0.99): (1, 1.0)}


def test_without_labels_classes_are_the_answers_of_the_reference_and_nothing_is_right() -> None:
    found = logged(np.full(4, -1)).summed_up(())
    assert found.reference_ece is None
    assert found.candidate_ece is None
    assert found.classes_by == "answer"
    assert {row.name: row.images for row in found.by_class} == {"0": 3, "1": 1}
    assert found.changed[0].label is None


def test_probabilities_of_large_logits_are_finite() -> None:
    np.testing.assert_allclose(softmax(np.array([[1000.0, 999.0]], np.float32)), [[0.7310586, 0.2689414]])


def test_classes_of_one_name_are_told_apart_by_their_numbers() -> None:
    """ImageNet has two cranes: one of the answers "crane" and "crane" would not look changed."""
    changed = logged().summed_up(("crane", "crane", "fox")).changed
    assert {one.image: (one.reference, one.candidate) for one in changed} == {
        "c.png": ("crane (0)", "crane (1)"),
        "d.png": ("crane (0)", "fox"),
    }
