"""Weights rounded so that the output stays close: GPTQ, its pairs, and what goes into the bias."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from convnext_edge.network.forms import MatMul, Multiplication
from convnext_edge.network.layers import Layer
from convnext_edge.quantization.calibrate import Moments
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.quantization.round_weights import (
    DAMPING,
    gptq,
    layer_by_layer,
    pair_partners,
    round_layer,
)


def moments(rows: Tensor) -> Moments:
    found = Moments.empty(rows.shape[1])
    found.add(rows)
    return found


def correlated(rows: int, columns: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(rows, columns, generator=generator) @ torch.randn(
        columns, columns, generator=generator
    )
    return mixed + 1


def layer_of(module: Multiplication) -> Layer:
    return Layer("head", "head", module, "head.weight", reads_bytes=False)


def no_partners(columns: int) -> list[tuple[int, ...]]:
    return [()] * columns


def test_behind_inputs_that_are_not_correlated_each_weight_goes_to_the_nearest_code() -> None:
    weight = torch.tensor([[0.4, -1.6, 2.5], [9.0, -9.0, 0.6]])
    codes = gptq(weight, moments(torch.eye(3)), largest_code=7, partners=no_partners(3))
    assert codes.tolist() == [[0, -2, 2], [7, -7, 1]]


def test_a_weight_takes_over_the_error_of_the_one_behind_it() -> None:
    """Moments [[1, 1/2], [1/2, 1]]: the last weight leaves 0.3, of which 0.5 / 1.01 go to the first."""
    second = Moments(1, torch.zeros(2), torch.tensor([[1.0, 0.0], [0.5, 1.0]]))
    share = 0.5 / (1 + DAMPING)
    for first, code in ((0.5 - 0.3 * share + 0.01, 1), (0.5 - 0.3 * share - 0.01, 0)):
        codes = gptq(torch.tensor([[first, 0.3]]), second, largest_code=7, partners=no_partners(2))
        assert codes.tolist() == [[code, 0]]


def test_the_output_is_nearer_than_with_the_nearest_codes_and_not_much_further_than_with_the_best() -> None:
    totals = {"gptq": 0.0, "nearest": 0.0, "best": 0.0}
    every = torch.tensor(list(product(range(-3, 4), repeat=5)), dtype=torch.float32)
    for seed in range(20):
        rows = correlated(64, 5, seed)
        weight = torch.randn(1, 5, generator=torch.Generator().manual_seed(seed))

        def error(codes: Tensor, rows: Tensor = rows, weight: Tensor = weight) -> Tensor:
            return (rows @ (codes - weight).T).square().sum(0)

        codes = gptq(weight, moments(rows), largest_code=3, partners=no_partners(5))
        totals["gptq"] += float(error(codes))
        totals["nearest"] += float(error(torch.round(weight).clamp(-3, 3)))
        totals["best"] += float(error(every).min())
    assert totals["best"] <= totals["gptq"] < 0.75 * totals["nearest"]
    assert totals["gptq"] < 1.5 * totals["best"]


def test_more_columns_than_a_block_are_rounded_as_one_after_the_other() -> None:
    """The textbook's loop over all columns, which updates all that is not rounded at each of them."""
    rows = correlated(400, 150, 0)
    weight = 3 * torch.randn(5, 150, generator=torch.Generator().manual_seed(1))
    second = (rows.T @ rows / len(rows)).double()
    second += DAMPING * second.diagonal().mean() * torch.eye(150)
    factor = torch.linalg.cholesky(second)
    aim, expected = weight.double(), torch.empty(5, 150, dtype=torch.float64)
    for k in reversed(range(150)):
        expected[:, k] = torch.round(aim[:, k]).clamp(-7, 7)
        aim[:, :k] += torch.outer(weight[:, k] - expected[:, k], factor[k, :k] / factor.diagonal()[:k])
    found = gptq(weight, moments(rows), largest_code=7, partners=no_partners(150))
    assert (
        found == expected
    ).double().mean() > 0.99  # in float32 a value may fall on the other side of a half


def test_a_pair_of_codes_stays_within_128_and_the_error_goes_on() -> None:
    codes = gptq(torch.tensor([[100.0, 100.0]]), moments(torch.eye(2)), largest_code=127, partners=[(1,), ()])
    assert codes.tolist() == [[28, 100]]


def test_partners_are_neighbours_along_the_row_and_along_the_channels() -> None:
    """A 2x2 patch of three channels: columns 0 to 3 are the first channel's, 8 to 11 the last one's."""
    patches = layer_of(nn.Conv2d(3, 2, 2, stride=2))
    assert pair_partners(patches, Recipe()) == [
        *[(1, 4), (5,), (3, 6), (7,)],
        *[(5,), (), (7,), ()],
        *[(9,), (), (11,), ()],
    ]
    matmul = layer_of(MatMul(torch.zeros(2, 5), torch.zeros(2)))
    assert pair_partners(matmul, Recipe()) == [(1,), (), (3,), (), ()]
    assert pair_partners(matmul, Recipe(weight_bits=4)) == no_partners(5)


@pytest.mark.parametrize("form", ["conv", "linear"])
def test_a_rounded_layer_keeps_the_mean_of_its_output(form: str) -> None:
    weight = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    rows = correlated(256, 8, 0)
    module: Multiplication
    if form == "conv":
        module = nn.Conv2d(8, 3, 1)
        module.weight.data = weight.clone()[:, :, None, None]
    else:
        module = MatMul(weight, torch.zeros(3))
    module.bias.data = torch.zeros(3)
    layer = layer_of(module)
    scale = round_layer(layer, [moments(rows)], Recipe(weight_bits=4))
    codes = layer.weight_matrix / scale[:, None]
    assert torch.allclose(codes, codes.round(), atol=1e-5)
    assert codes.round().abs().max() <= 7
    before, after = rows @ weight.T, rows @ layer.weight_matrix.T + module.bias
    assert (after - before).abs().mean() > 0.01, "rounding must change something"
    assert torch.allclose(after.mean(0), before.mean(0), atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_layer_is_rounded_by_one_thread_however_many_there_are(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = list(layer_by_layer(lambda layer: (layer, torch.get_num_threads()), range(5)))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found == [(layer, 1) for layer in range(5)]
