"""The measures of tasks other than telling classes apart, against sums written out."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from convnext_edge.evaluation.closeness import (
    Closeness,
    Decisions,
    Embeddings,
    GatheredAnswers,
    Values,
    average_precision,
)
from convnext_edge.evaluation.gates import Gates
from convnext_edge.evaluation.measures import MEASURES
from convnext_edge.evaluation.retrieval import NEIGHBOURS

RANDOM = np.random.default_rng(0)
UNKNOWN = np.full(40, -1)


def answers(*shape: int, noise: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    exact = RANDOM.normal(size=(40, *shape)).astype(np.float32)
    return exact, exact + noise * RANDOM.normal(size=exact.shape).astype(np.float32)


def fed(
    measure: Closeness, *outputs: tuple[np.ndarray, np.ndarray], labels: np.ndarray = UNKNOWN
) -> Closeness:
    """The measure after two batches."""
    for part in (slice(0, 24), slice(24, None)):
        reference, candidate = (tuple(pair[side][part] for pair in outputs) for side in (0, 1))
        measure.add_outputs(reference, candidate, labels[part])
    return measure


def test_each_map_has_its_sqnr_and_cosine_and_the_worst_counts() -> None:
    near, far = answers(3, 4, 4, noise=0.01), answers(5, 2, 2, noise=0.3)
    found = fed(Closeness(("map0", "map1")), near, far)
    for name, (exact, other) in {"map0": near, "map1": far}.items():
        ratio = np.square(exact, dtype=np.float64).sum() / np.square(exact - other, dtype=np.float64).sum()
        assert found.sqnr_db(name) == pytest.approx(10 * np.log10(ratio), abs=1e-4)
    assert found.worst_sqnr_db == found.sqnr_db("map1")
    assert found.figures()["map1_cosine"] == pytest.approx(0.958, abs=0.02)
    assert fed(Closeness(("map0",)), (near[0], near[0])).worst_sqnr_db is None


# Detections, whose outputs depend on each other, are merged in their own tests.
MERGED: dict[str, Callable[[Any], Closeness]] = {
    **{task: make for task, make in MEASURES.items() if task != "detect"},
    "gathered answers": lambda source: GatheredAnswers(source.outputs),
}


@pytest.mark.parametrize("name", MERGED)
def test_the_halves_of_a_measure_are_merged_to_the_whole(name: str) -> None:
    vectors, maps, labels = answers(6), answers(3, 2, 2), RANDOM.integers(-1 + (name == "embed"), 6, 40)
    outputs = (maps, vectors) if name == "segment" else (vectors, maps)
    whole, first, second = (MERGED[name](SimpleNamespace(outputs=("first", "second"))) for _ in range(3))
    fed(whole, *outputs, labels=labels)
    for half, part in ((first, slice(0, 15)), (second, slice(15, None))):
        reference, candidate = (tuple(pair[side][part] for pair in outputs) for side in (0, 1))
        half.add_outputs(reference, candidate, labels[part])
    assert first.figures() != whole.figures()
    first.merge(second)
    assert first.figures() == pytest.approx(whole.figures())
    assert (first.images, first.labelled) == (whole.images, whole.labelled)
    assert first.worst_sqnr_db == pytest.approx(whole.worst_sqnr_db)


def test_errors_of_a_regression_are_in_deviations_of_each_value() -> None:
    exact, other = answers(2)
    scaled = np.array([1, 1000], np.float32)
    found = fed(Values(("values",)), (exact * scaled, other * scaled)).figures()
    errors = np.abs(other - exact) / exact.std(axis=0)
    assert found["largest_error"] == pytest.approx(errors.max(), rel=1e-4)
    assert found["mean_error"] == pytest.approx(errors.mean(), rel=1e-4)
    assert found["r2"] == pytest.approx(1 - np.square(errors).mean(), rel=1e-4)
    assert fed(Values(("values",)), (exact * 0, other)).figures()["r2"] is None


def test_neighbours_and_their_labels_are_those_of_a_full_search() -> None:
    labels = RANDOM.integers(0, 3, 40)
    exact, other = answers(8, noise=0.4)
    found = fed(Embeddings(("embedding",)), (exact, other), labels=labels).figures()
    orders = []
    for embedding in (exact, other):
        unit = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
        likeness = unit @ unit.T
        np.fill_diagonal(likeness, -2)
        orders.append(np.argsort(-likeness, axis=1)[:, :NEIGHBOURS])
    kept = np.mean([len(set(a) & set(b)) / NEIGHBOURS for a, b in zip(*orders, strict=True)])
    assert found["neighbours_kept"] == pytest.approx(kept)
    right = [np.mean([vote(labels[row]) == own for row, own in zip(o, labels, strict=True)]) for o in orders]
    assert [found["knn_reference"], found["knn_candidate"]] == pytest.approx(right)
    assert found["drop_points"] == pytest.approx(100 * (right[0] - right[1]))
    cosines = (exact * other).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(other, axis=1)
    assert found["cosine_mean"] == pytest.approx(cosines.mean(), rel=1e-5)
    assert found["cosine_p1"] == pytest.approx(np.percentile(cosines, 1), rel=1e-5)


def test_neighbours_do_not_judge_classes_of_hardly_two_images() -> None:
    pairs, triples = np.repeat(np.arange(20), 2), np.repeat(np.arange(13), 3)
    few = fed(Embeddings(("embedding",)), answers(8, noise=0.4), labels=pairs)
    assert {"knn_reference", "knn_candidate", "drop_points"}.isdisjoint(few.figures())
    assert few.concerns == ("k-NN is not told: 40 images of 20 classes are too few images of each class",)
    enough = fed(Embeddings(("embedding",)), answers(8, noise=0.4), labels=np.append(triples, 12))
    assert enough.figures()["knn_reference"] is not None
    assert enough.concerns == ()


def vote(labels: np.ndarray) -> int:
    counts = {label: (labels == label).sum() for label in labels}
    return max(counts, key=lambda label: counts[label])  # of equals the first, which is the nearest


def test_decisions_are_counted_each_by_itself() -> None:
    labels = RANDOM.integers(0, 4, 40)
    exact, other = answers(4, noise=0.5)
    found = fed(Decisions(("logits",)), (exact, other), labels=labels).figures()
    assert found["agreement"] == ((exact > 0) == (other > 0)).mean()
    for key, scores in (("reference", exact), ("candidate", other)):
        precisions = []
        for label in range(4):
            ranked = (labels == label)[np.argsort(-scores[:, label])]
            precisions.append(np.mean([ranked[: n + 1].mean() for n in np.flatnonzero(ranked)]))
        assert found[f"map_{key}"] == pytest.approx(np.mean(precisions))
        truth = np.eye(4, dtype=bool)[labels]
        hits = ((scores > 0) & truth).sum()
        assert found[f"f1_{key}"] == pytest.approx(2 * hits / ((scores > 0).sum() + truth.sum()))


def test_equal_scores_are_one_threshold() -> None:
    """By hand: at the first threshold 2 of 3 are right, at the second 3 of 5."""
    scores = np.array([1, 1, 1, 0, 0], np.float32)
    right = np.array([True, False, True, True, False])
    assert average_precision(scores, right) == pytest.approx(2 / 3 * 2 / 3 + 1 / 3 * 3 / 5)
    assert average_precision(scores * 0, right) == pytest.approx(3 / 5)


def test_labels_that_any_answers_fit_decide_no_drop() -> None:
    """Of one label, all neighbours have it, and all precisions are 1, even of opposite answers."""
    exact, _ = answers(4)
    one, all_of_them = np.zeros(40, np.int64), np.ones((40, 4), np.int64)
    found = [
        fed(Embeddings(("embedding",)), (exact, -exact), labels=one).figures(),
        fed(Decisions(("logits",)), (exact, -exact), labels=one).figures(),
        fed(Decisions(("logits",)), (exact, -exact), labels=all_of_them).figures(),
    ]
    assert found[1]["agreement"] == 0
    for task, figures in zip(("embed", "multilabel", "multilabel"), found, strict=True):
        assert "drop_points" not in figures
        assert Gates(max_drop=5).decide(task, figures) == {"drop": "these images do not tell it"}
