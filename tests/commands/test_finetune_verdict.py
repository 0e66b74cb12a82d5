"""Fine-tuning says where a model is worse after it than before."""

from __future__ import annotations

from typing import Any

import pytest

from convnext_edge.commands.finetune.verdict import setbacks

BETTER: list[dict[str, Any]] = [
    {
        "start_top1": 0.82,
        "final_top1": 0.82,
        "start_sqnr_db": 30.0,
        "final_sqnr_db": 20.0,
    },  # learnt from labels
    {"start_top1": None, "final_top1": None, "start_sqnr_db": 30.0, "final_sqnr_db": 31.0},
    {"start_sqnr_db": 12.5, "final_sqnr_db": None},  # exact in the end
]
WORSE: list[tuple[dict[str, Any], str]] = [
    (
        {"start_top1": 0.825, "final_top1": 0.225, "start_sqnr_db": 30.0, "final_sqnr_db": 31.0},
        "top-1 82.50% before, 22.50% after",
    ),
    (
        {"start_top1": None, "final_top1": None, "start_sqnr_db": 35.84, "final_sqnr_db": 0.7},
        "35.8 dB before, 0.7 dB after",
    ),
    ({"start_sqnr_db": None, "final_sqnr_db": 40.0}, "exact before, 40.0 dB after"),
]


@pytest.mark.parametrize("figures", BETTER)
def test_nothing_is_said_of_a_model_that_is_no_worse(figures: dict[str, Any]) -> None:
    assert list(setbacks(figures)) == []


@pytest.mark.parametrize(("figures", "told"), WORSE)
def test_a_model_that_is_worse_is_told_of(figures: dict[str, Any], told: str) -> None:
    (sentence,) = setbacks(figures)
    assert told in sentence
