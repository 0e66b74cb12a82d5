"""ReLU in place of GELU: what the biases make up for without training."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch

from convnext_edge.architecture import Architecture
from convnext_edge.network.convnext import Block, ConvNeXt
from convnext_edge.network.relu import with_relu

SMALL: dict[str, Any] = {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16), "patch": 2, "classes": 5}


def make(*, grn: bool) -> ConvNeXt:
    torch.manual_seed(0)
    model = ConvNeXt(Architecture(**SMALL, grn=grn, layer_scale=not grn)).eval()
    for block in blocks(model):
        for name, parameter in block.named_parameters():
            torch.nn.init.normal_(parameter, std=1.0 if name == "gamma" or "grn" in name else 0.5)
    return model.requires_grad_(False)


def blocks(model: ConvNeXt) -> list[Block]:
    return [module for module in model.modules() if isinstance(module, Block)]


def images(seed: int) -> torch.Tensor:
    return torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("grn", [False, True])
def test_the_first_block_answers_as_before_on_the_average(grn: bool) -> None:
    model = make(grn=grn)
    changed = with_relu(model, images(0).split(3))
    x = model.stem(images(0))
    before, after = (blocks(net)[0](x).mean((0, 2, 3)) for net in (model, changed))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_the_swap_keeps_most_of_the_answer_to_new_images() -> None:
    model = make(grn=False)
    bare = deepcopy(model)
    for block in blocks(bare):
        block.act = torch.nn.ReLU()
    corrected = with_relu(model, [images(0)])
    new = images(1)
    errors = [(net(new) - model(new)).square().mean() for net in (bare, corrected)]
    assert errors[1] < errors[0] / 4


def test_the_original_stays_as_it_was() -> None:
    model = make(grn=False)
    before = model(images(0))
    with_relu(model, [images(0)])
    assert torch.equal(model(images(0)), before)
    assert all(isinstance(block.act, torch.nn.GELU) for block in blocks(model))
