"""The figures of `validate`, against counting by hand and published values."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from convnext_edge.evaluation.metrics import Comparison, in_top, wilson


def logits(*classes: int, count: int = 10) -> np.ndarray:
    """One row for each class, which has the largest logit."""
    return np.eye(count, dtype=np.float32)[list(classes)]


def compared(reference: np.ndarray, candidate: np.ndarray, *labels: int) -> Comparison:
    found = Comparison()
    found.add(reference, candidate, np.array(labels, np.int64))
    return found


def test_top1_agreement_and_drop_are_counted_by_image() -> None:
    # image by image: both right; only the reference right, twice; only the candidate right; both wrong alike
    found = compared(logits(0, 1, 2, 3, 4), logits(0, 5, 6, 7, 4), 0, 1, 2, 7, 9)
    assert found.top1 == [3, 2]
    assert found.agreement == 2 / 5
    assert (found.only_reference, found.only_candidate) == (2, 1)
    assert found.drop_points == pytest.approx(100 * (2 - 1) / 5)


def test_batches_add_up() -> None:
    rng = np.random.default_rng(0)
    reference, candidate = rng.standard_normal((2, 20, 10)).astype(np.float32)
    labels = rng.integers(0, 10, 20)
    whole, parts = compared(reference, candidate, *labels), Comparison()
    for part in (slice(0, 7), slice(7, 8), slice(8, 20)):
        parts.add(reference[part], candidate[part], labels[part])
    assert parts.top1 == whole.top1
    assert parts.top5 == whole.top5
    assert parts.agreed == whole.agreed
    assert parts.sqnr_db == pytest.approx(whole.sqnr_db)


def test_images_without_label_count_for_agreement_only() -> None:
    found = compared(logits(0, 1, 2), logits(0, 1, 9), 0, -1, -1)
    assert (found.images, found.labelled) == (3, 1)
    assert found.agreement == 2 / 3
    assert found.top1 == [1, 1]


@pytest.mark.parametrize("label", range(4))
def test_any_label_is_in_the_top_5_of_four_classes(label: int) -> None:
    assert in_top(logits(0, count=4), np.array([label]), 5).tolist() == [True]


def test_the_sixth_largest_is_not_in_the_top_5() -> None:
    falling = np.arange(10, 0, -1, dtype=np.float32)[None]
    inside = [bool(in_top(falling, np.array([label]), 5)[0]) for label in range(10)]
    assert inside == [True] * 5 + [False] * 5


def test_sqnr_is_the_power_of_the_logits_over_that_of_the_error() -> None:
    reference = np.full((4, 10), 10, np.float32)
    assert compared(reference, reference + 1, 0, 0, 0, 0).sqnr_db == pytest.approx(20)
    assert compared(reference, reference - 0.1, 0, 0, 0, 0).sqnr_db == pytest.approx(40, abs=1e-4)


def test_identical_logits_have_no_sqnr() -> None:
    assert compared(logits(1, 2), logits(1, 2), 1, 2).sqnr_db is None


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [  # Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_is_the_published_one(hits: int, total: int, low: float, high: float) -> None:
    assert wilson(hits, total) == pytest.approx((low, high), abs=5e-5)


def test_wilsons_interval_stays_within_zero_and_one() -> None:
    low, high = wilson(50, 50)
    assert 0.9999 < high <= 1
    assert 0.9 < low < 1


def drop_of(lost: int, won: int, total: int) -> Comparison:
    return Comparison(images=total, labelled=total, only_reference=lost, only_candidate=won)


def test_the_interval_of_the_drop_is_walds_over_cells_raised_by_half() -> None:
    """Agresti and Min (2005): n = 100, 10 lost and 4 won, worked out by hand."""
    low, high = drop_of(10, 4, 100).drop_ci95_points
    middle = 6 / 102
    half = 1.959964 * math.sqrt(15 - 36 / 102) / 102
    assert (low, high) == pytest.approx((100 * (middle - half), 100 * (middle + half)))
    assert (low, high) == pytest.approx((-1.47, 13.24), abs=0.01)


def test_the_interval_of_the_drop_does_not_collapse_where_all_agree() -> None:
    low, high = drop_of(0, 0, 100).drop_ci95_points
    assert low == -high
    assert 1 < high < 3


@pytest.mark.parametrize(("lose", "win"), [(0.02, 0.01), (0.05, 0.05), (0.15, 0.05)])
def test_the_interval_of_the_drop_covers_the_truth_nineteen_times_in_twenty(lose: float, win: float) -> None:
    """Brute force: its coverage over all outcomes of 80 images, each with its probability."""
    total, covered = 80, 0.0
    for lost, won in product(range(total + 1), repeat=2):
        if lost + won <= total:
            low, high = drop_of(lost, won, total).drop_ci95_points
            inside = low <= 100 * (lose - win) <= high
            covered += inside * trinomial(lost, won, total, lose, win)
    assert 0.94 < covered < 0.999


def trinomial(lost: int, won: int, total: int, lose: float, win: float) -> float:
    ways = math.comb(total, lost) * math.comb(total - lost, won)
    return float(ways * lose**lost * win**won * (1 - lose - win) ** (total - lost - won))
