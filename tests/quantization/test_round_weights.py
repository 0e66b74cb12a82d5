"""Weight scales of few bits: where cutting off the largest weights pays."""

from __future__ import annotations

import pytest
import torch

from convnext_edge.quantization.round_weights import shrink

# Best step of a uniform quantizer of normal values: Max (1960), "Quantizing for minimum distortion", table II
BEST_STEPS = {7: 0.6508, 15: 0.3534}  # by number of levels


@pytest.mark.parametrize(("levels", "step"), BEST_STEPS.items())
def test_normal_weights_get_the_step_of_the_least_error(levels: int, step: float) -> None:
    weight = torch.randn(4, 50_000, generator=torch.Generator().manual_seed(0))
    largest = levels // 2
    scale = shrink(weight, weight.abs().amax(1) / largest, torch.ones(50_000), largest)
    assert scale.tolist() == pytest.approx([step] * 4, rel=0.06)  # the search goes in steps of 2 to 5 %


def test_what_the_input_never_feeds_does_not_count() -> None:
    weight = torch.tensor([[7.0, 1.0, -1.0, 0.5]])
    energy = torch.tensor([0.0, 1.0, 1.0, 1.0])
    scale = shrink(weight, torch.tensor([1.0]), energy, 7)
    assert scale.item() < 0.6


def test_weights_that_lie_on_the_grid_keep_it() -> None:
    weight = torch.tensor([[7.0, -3.0, 2.0, 0.0]]) * 0.25
    assert shrink(weight, torch.tensor([0.25]), torch.ones(4), 7).item() == 0.25
