"""Gates: which a task can fail, from which value on, and how they are decided."""

from __future__ import annotations

import math
import re
from dataclasses import fields

import numpy as np
import pytest

from convnext_edge.architecture import Architecture
from convnext_edge.errors import UsageError
from convnext_edge.evaluation.closeness import Decisions, Embeddings, Values
from convnext_edge.evaluation.gates import DECIDED, LOOSEST, Gates, judge, judge_others
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.tasks import TASKS, Task

MODEL = Architecture((1,), (8,), classes=4)
RANDOM = np.random.default_rng(0)
IMAGES = 40
# By hand: the figure of a gate is never on the wrong side of these.
CANNOT_FAIL: dict[str, list[float]] = {
    "max_drop": [100.0, 100.5, 1e9, math.inf, math.nan],
    "min_agreement": [0.0, -0.5, math.nan],
    "min_sqnr": [-999.0, -1e9, -math.inf, math.nan],
    "min_r2": [-math.inf, math.nan],
    "min_cosine": [-1.0, -1.5, math.nan],
}
CAN_FAIL = {"max_drop": 99.9, "min_agreement": 0.001, "min_sqnr": -60.0, "min_r2": -1e6, "min_cosine": -0.99}
NAMES = [field.name for field in fields(Gates)]


def check(task: Task, *, labelled: bool = True, architecture: Architecture = MODEL, **gates: float) -> None:
    Gates(**gates).check(task, architecture, labelled=labelled, images="photos")


def answers(*shape: int, noise: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    exact = RANDOM.normal(size=(IMAGES, *shape)).astype(np.float32)
    return exact, exact + noise * RANDOM.normal(size=exact.shape).astype(np.float32)


# Refused


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", NAMES)
def test_a_gate_that_a_task_cannot_fail_is_refused(task: Task, name: str) -> None:
    option = f"--{name.replace('_', '-')}"
    if name not in DECIDED[task]:
        with pytest.raises(UsageError, match=f"{option} means nothing to task {task}"):
            check(task, **{name: CAN_FAIL[name]})
        return
    check(task, **{name: CAN_FAIL[name]})
    for value in CANNOT_FAIL[name]:
        with pytest.raises(UsageError, match=re.escape(f"{option} {value:g} cannot fail")) as caught:
            check(task, **{name: value})
        assert f"{LOOSEST[name]:g}" in caught.value.hint


@pytest.mark.parametrize("task", ["classify", "multilabel", "embed"])
def test_a_drop_needs_labels(task: Task) -> None:
    with pytest.raises(UsageError, match="--max-drop needs labels, and photos has none"):
        check(task, labelled=False, max_drop=1)


def test_a_classifier_of_one_output_has_no_gates_of_classes() -> None:
    one = Architecture((1,), (8,), classes=1)
    for name in ("max_drop", "min_agreement"):
        with pytest.raises(UsageError, match="cannot fail: the model has one output"):
            check("classify", architecture=one, **{name: 0.5})
        check("multilabel", architecture=one, **{name: 0.5})
    check("classify", architecture=one, min_sqnr=20)


# Decided


def test_gates_are_decided_by_the_figures_of_the_task() -> None:
    found = Embeddings(("embedding",))
    exact, other = answers(8)
    found.add_outputs((exact,), (other,), np.full(IMAGES, -1))
    cosine = found.figures()["cosine_mean"]
    assert cosine is not None
    held = judge_others(found, Gates(min_cosine=cosine - 0.01, min_sqnr=10), "embed")
    assert (held.passed, held.figures) == (True, {"sqnr_db": found.worst_sqnr_db, "cosine_mean": cosine})
    judged = judge_others(found, Gates(min_cosine=cosine + 0.001, min_sqnr=10), "embed")
    assert judged.faults == {"sqnr": "", "cosine": f"cosine {cosine:.5f}, {cosine + 0.001:g} wanted"}
    assert judged.fields() == {"warnings": (), "gates": ("sqnr", "cosine"), "passed": False}


def test_what_the_images_do_not_tell_is_not_met() -> None:
    alike = Values(("values",))
    alike.add_outputs(
        (np.zeros((IMAGES, 1), np.float32),), (np.zeros((IMAGES, 1), np.float32),), np.full(IMAGES, -1)
    )
    judged = judge_others(alike, Gates(min_r2=0.9, min_sqnr=10), "regress")
    assert judged.faults == {"sqnr": "", "r2": "these images do not tell it"}
    assert "--min-r2 could not be decided" in judged.doubts[0]


def test_no_more_can_be_lost_than_the_reference_has() -> None:
    """Its answers are noise: its mean average precision is about a quarter."""
    exact, other = answers(4)
    found = Decisions(("logits",))
    found.add_outputs((exact,), (other,), RANDOM.integers(0, 4, IMAGES))
    judged = judge_others(found, Gates(max_drop=60), "multilabel")
    assert not judged.passed
    assert "a gate of 60 points cannot fail, so is not met" in judged.doubts[0]
    assert judge_others(found, Gates(max_drop=10), "multilabel").passed


def test_classes_and_other_outputs_are_judged_by_one_function() -> None:
    exact, other = answers(4, noise=0.0)
    found = Comparison()
    found.add(exact, other, np.full(IMAGES, -1))
    assert judge(found, Gates(min_agreement=0.9), "classify", 4).figures == {"agreement": 1.0}
    maps = Decisions(("logits",))
    maps.add_outputs((exact,), (other,), np.full(IMAGES, -1))
    assert judge(maps, Gates(min_sqnr=99), "multilabel", 4).passed, "no difference"
