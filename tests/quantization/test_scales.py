"""Scales of weights: the rule, held against values that were worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from convnext_edge.quantization.recipe import Recipe
from convnext_edge.quantization.scales import (
    SMALLEST_SCALE,
    fake_quantize_weight,
    shrink_scale,
    weight_scale,
)

INT8, FULL, FOUR_BITS = Recipe(), Recipe(weight_scale="full"), Recipe(weight_bits=4)
WIDE = Recipe(activation="uint16")
OVERFLOWING = 254 / 128  # two codes of 127 side by side are 254, of which 128 are allowed

# Best step of a uniform quantizer of normal values: Max (1960), "Quantizing for minimum distortion", table II
BEST_STEPS = {7: 0.6508, 15: 0.3534}  # by number of levels


@dataclass(frozen=True)
class Case:
    """A weight with output channels first, and its scales."""

    weight: list[object]
    scales: list[float]
    recipe: Recipe = INT8
    depthwise: bool = False


CASES = {
    "zeros": Case([[0.0, 0.0, 0.0]], [SMALLEST_SCALE]),
    "zeros among others": Case([[0.0, 0.0], [127.0, 0.0]], [SMALLEST_SCALE, 1]),
    "one weight": Case([[-63.5]], [0.5]),
    "each channel by its largest": Case([[127.0, 0.0], [0.0, -12.7]], [1, 0.1]),
    "opposite neighbours": Case([[127.0, -127.0]], [1]),
    "a pair that would overflow": Case([[127.0, 127.0]], [OVERFLOWING]),
    "a negative pair that would overflow": Case([[-127.0, -127.0]], [OVERFLOWING]),
    "a pair above 128 by its sum alone": Case([[100.0, 92.0]], [1.5]),
    "neighbours that are no pair": Case([[0.0, 127.0, 127.0, 0.0]], [1]),
    "a last weight without a partner": Case([[0.0, 0.0, 127.0]], [1]),
    # (1, 2, 1, 2): in the first, 127 and 127 are one channel apart, in the second one column
    "a pair along the channels": Case([[[[127.0, 0.0]], [[127.0, 0.0]]]], [OVERFLOWING]),
    "a pair along the row": Case([[[[127.0, 127.0]], [[0.0, 0.0]]]], [OVERFLOWING]),
    "neither along channels nor row": Case([[[[127.0, 0.0]], [[0.0, 127.0]]]], [1]),
    "a pair of a depthwise kernel": Case([[[[127.0, 127.0]]]], [1], depthwise=True),
    "a pair where all codes may be used": Case([[127.0, 127.0]], [1], FULL),
    "a pair behind wide activations": Case([[127.0, 127.0]], [1], WIDE),
    "a pair of few bits": Case([[7.0, 7.0]], [1], FOUR_BITS),
    "few bits": Case([[0.7, -1.4], [7.0, 0.0]], [0.2, 1], FOUR_BITS),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_scale_is_the_one_worked_out_by_hand(case: Case) -> None:
    found = weight_scale(torch.tensor(case.weight), case.recipe, depthwise=case.depthwise)
    assert found.tolist() == pytest.approx(case.scales)


@pytest.mark.parametrize("shape", [(32, 48), (16, 6, 2, 2), (16, 5, 3, 3)])
def test_no_pair_of_codes_adds_up_to_more_than_128(shape: tuple[int, ...]) -> None:
    weight = torch.rand(shape, generator=torch.Generator().manual_seed(0)) - 0.2
    scale = weight_scale(weight, INT8)
    codes = torch.round(weight / scale.view(-1, *[1] * (len(shape) - 1)))
    row = codes.flatten(1)
    sums = [row[:, k] + row[:, k + 1] for k in range(0, row.shape[1] - 1, 2)]
    sums += [(codes[:, k] + codes[:, k + 1]).flatten() for k in range(0, shape[1] - 1, 2)]
    assert 126 <= max(float(s.abs().max()) for s in sums) <= 128
    assert codes.abs().max() <= 127


def test_few_bits_are_cut_off_only_where_the_energy_of_the_inputs_is_known() -> None:
    """0.4 lies on the grid of 0.4 and of no larger scale; the 7, cut off then, meets an input of zeros."""
    weight, squares = torch.tensor([[7.0, 0.4]]), torch.tensor([0.0, 1.0])
    assert weight_scale(weight, FOUR_BITS).tolist() == [1]
    assert weight_scale(weight, FOUR_BITS, squares=squares).tolist() == pytest.approx([0.4])
    assert weight_scale(weight, FULL, squares=squares).tolist() == pytest.approx([7 / 127]), (
        "8 bits never are"
    )


@pytest.mark.parametrize(("levels", "step"), BEST_STEPS.items())
def test_normal_weights_get_the_step_of_the_least_error(levels: int, step: float) -> None:
    weight = torch.randn(4, 50_000, generator=torch.Generator().manual_seed(0))
    largest = levels // 2
    scale = shrink_scale(weight, weight.abs().amax(1) / largest, torch.ones(50_000), largest)
    assert scale.tolist() == pytest.approx([step] * 4, rel=0.06)  # the search goes in steps of 2 to 5 %


def test_what_the_input_never_feeds_does_not_count() -> None:
    weight = torch.tensor([[7.0, 1.0, -1.0, 0.5]])
    squares = torch.tensor([0.0, 1.0, 1.0, 1.0])
    scale = shrink_scale(weight, torch.tensor([1.0]), squares, 7)
    assert scale.item() < 0.6


def test_weights_that_lie_on_the_grid_keep_it() -> None:
    weight = torch.tensor([[7.0, -3.0, 2.0, 0.0]]) * 0.25
    assert shrink_scale(weight, torch.tensor([0.25]), torch.ones(4), 7).item() == 0.25


@pytest.mark.parametrize("axis", [0, 1])
def test_a_weight_goes_to_the_grid_of_its_channel(axis: int) -> None:
    weight = torch.tensor([[0.6, -1.6, 9.0], [0.6, -1.6, 9.0]])  # (O, K)
    expected = torch.tensor([[1.0, -2.0, 3.0], [0.5, -1.5, 1.5]])
    found = fake_quantize_weight(weight.movedim(0, axis), torch.tensor([1.0, 0.5]), axis, 3)
    assert torch.equal(found.movedim(axis, 0), expected)
