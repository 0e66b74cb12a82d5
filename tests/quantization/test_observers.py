"""Ranges of activations: each observer, held against arithmetic by hand or a search over all ranges."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from convnext_edge.quantization.observers import ActivationRange, make_observer, range_of
from convnext_edge.quantization.recipe import Recipe


def observed(recipe: Recipe, *values: Tensor) -> ActivationRange:
    observer = make_observer(recipe)
    for batch in values:
        observer(batch)
    return range_of(observer)


def test_minmax_takes_all_that_was_seen_and_zero() -> None:
    """From -1 to 3 in 255 steps, of which zero is the 63.75th; from 0 to 5 where nothing is negative."""
    assert observed(Recipe(range="minmax"), torch.tensor([-1.0, 2]), torch.tensor([0, 3.0])) == (
        pytest.approx(4 / 255),
        64,
    )
    assert observed(Recipe(range="minmax"), torch.tensor([2.0, 5.0])) == (pytest.approx(5 / 255), 0)


def test_int8_is_symmetric() -> None:
    found = observed(Recipe(activation="int8", range="minmax"), torch.tensor([-1.0, 3.0]))
    assert found == (pytest.approx(3 / 127.5), 0)


@pytest.mark.parametrize("chosen", ["minmax", "mse", "percentile", "histogram"])
def test_16_bits_take_twice_what_was_seen_whatever_the_range(chosen: str) -> None:
    """From -2 to 6 in 65535 steps, of which zero is the 16383.75th."""
    recipe = Recipe(activation="uint16", range=chosen)  # type: ignore[arg-type]
    assert observed(recipe, torch.tensor([-1.0, 3.0])) == (pytest.approx(8 / 65535), 16384)


def test_a_percentile_cuts_off_half_of_what_lies_outside_at_each_end() -> None:
    evenly = torch.linspace(-1, 1, 100_001)
    found = observed(Recipe(range="percentile", outside=0.1), evenly)  # from -0.9 to 0.9
    assert found.scale == pytest.approx(1.8 / 255, rel=2e-3)  # a bin is a thousandth wide
    assert found.zero_point in (127, 128)


def squared_error(values: Tensor, low: float, high: float) -> float:
    """Of 8-bit codes from `low` to `high`."""
    scale = (high - low) / 255
    zero_point = round(-low / scale)
    codes = torch.clamp(torch.round(values / scale) + zero_point, 0, 255)
    return float((values - (codes - zero_point) * scale).square().sum())


@pytest.mark.parametrize("outlier", [-8.0, 8.0])
def test_mse_finds_a_range_as_good_as_the_best_of_all(outlier: float) -> None:
    normal = torch.randn(300_000, generator=torch.Generator().manual_seed(0))
    values = torch.cat([normal, torch.tensor([outlier])])
    scale, zero_point = observed(Recipe(range="mse"), values)
    found = squared_error(values, -zero_point * scale, (255 - zero_point) * scale)
    low, high = float(values.min()), float(values.max())
    ends = [0.5 + n / 20 for n in range(11)]
    best = min(squared_error(values, low * a, high * b) for a, b in product(ends, ends))
    assert found <= 1.02 * best
    assert found < 0.9 * squared_error(values, low, high), "an outlier must be worth cutting off"


@pytest.mark.parametrize("chosen", ["minmax", "mse", "percentile", "histogram"])
def test_values_that_are_all_zero_have_a_range(chosen: str) -> None:
    found = observed(Recipe(range=chosen), torch.zeros(100))  # type: ignore[arg-type]
    assert found.scale > 0
    assert found.zero_point in range(256)
