"""Top-1 on corrupted images, and how much more than on clean ones is lost, against arithmetic by hand."""

from __future__ import annotations

import numpy as np
import pytest

from convnext_edge.evaluation.corrupted import summed_up
from convnext_edge.images.corruptions.corrupting import CELLS

IMAGES = 8


def all_right() -> np.ndarray:
    return np.ones((1 + len(CELLS), 2, IMAGES), bool)


def test_models_that_lose_alike_have_no_extra_drop() -> None:
    right = all_right()
    right[1:, :, :4] = False
    found = summed_up(right, "CIFAR-10-C")
    assert found.extra_drop_points == 0
    assert found.clean_drop_points == 0
    assert {cell.reference_top1 for cell in found.cells} == {0.5}
    assert [(cell.kind, cell.severity) for cell in found.cells] == list(CELLS)


def test_the_extra_drop_is_the_mean_drop_of_the_cells_less_that_of_clean_images() -> None:
    right = all_right()
    right[0, 1, 0] = False  # of clean images, the candidate loses 1 of 8
    right[1:16, 1, :2] = False  # and 2 of 8 in a fifth of the cells
    found = summed_up(right, "CIFAR-10-C")
    assert found.clean_drop_points == pytest.approx(12.5)
    assert found.extra_drop_points == pytest.approx(25 / 5 - 12.5)
    assert found.cells[0].drop_points == pytest.approx(25)
    assert found.cells[-1].drop_points == 0


def test_the_interval_is_of_the_mean_over_images() -> None:
    right = all_right()
    right[1:, 1, 0] = False  # one image of 8 is lost in each cell: extra drops of 100, 0, 0, ...
    found = summed_up(right, "CIFAR-10-C")
    extra = np.array([100.0] + 7 * [0.0])
    half = 1.959964 * extra.std() / IMAGES**0.5
    assert found.extra_drop_ci95_points == pytest.approx((12.5 - half, 12.5 + half))
