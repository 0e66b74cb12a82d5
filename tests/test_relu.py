"""ReLU in place of GELU: what is absorbed without training."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch

from convnext_edge.model.convnext import Architecture, Block, ConvNeXt
from convnext_edge.model.relu import DAMPING, with_relu

SMALL = {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16), "patch": 2, "classes": 5}


def make(*, grn: bool) -> ConvNeXt:
    torch.manual_seed(0)
    model = ConvNeXt(Architecture(**SMALL, grn=grn, layer_scale=not grn)).eval()
    for block in model.modules():
        if isinstance(block, Block):
            for name, parameter in block.named_parameters():
                torch.nn.init.normal_(parameter, std=1.0 if name == "gamma" or "grn" in name else 0.5)
    return model


@pytest.mark.parametrize("grn", [False, True])
def test_the_line_through_relu_is_that_of_least_squares(grn: bool) -> None:
    model, images = make(grn=grn), torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    changed = with_relu(model, images.split(2))
    block = next(module for module in model.modules() if isinstance(module, Block))
    seen: list[torch.Tensor] = []
    block.pwconv1.register_forward_hook(lambda _layer, _inputs, x: seen.append(x))
    with torch.no_grad():
        for part in images.split(2):
            model(part)
        wanted, given = (
            torch.cat([block.grn(f(x)).flatten(0, -2) for x in seen]) for f in (block.act, torch.relu)
        )
    after = next(module for module in changed.modules() if isinstance(module, Block))
    assert isinstance(after.act, torch.nn.ReLU)
    y, r = wanted.double().numpy(), given.double().numpy()
    damping = np.sqrt(DAMPING * r.var(0).mean() * len(r))  # as one more position, where y is r
    a, b = torch.empty(2, r.shape[1])
    for c in range(r.shape[1]):
        rows = np.append(r[:, c] - r[:, c].mean(), damping)[:, None]
        a[c] = np.linalg.lstsq(rows, np.append(y[:, c] - y[:, c].mean(), damping))[0].item()
        b[c] = y[:, c].mean() - a[c] * r[:, c].mean()
    torch.testing.assert_close(after.pwconv2.weight, block.pwconv2.weight * a, rtol=1e-3, atol=1e-4)
    expected = block.pwconv2.bias + block.pwconv2.weight @ b
    torch.testing.assert_close(after.pwconv2.bias, expected, rtol=1e-3, atol=1e-4)


def test_the_swap_keeps_most_of_the_answer_and_the_original_as_it_was() -> None:
    model, images = make(grn=False), torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = model(images)
        bare = deepcopy(model)
        for block in bare.modules():
            if isinstance(block, Block):
                block.act = torch.nn.ReLU()
        fitted = with_relu(model, [images])
        errors = [(changed(images) - before).square().mean() for changed in (bare, fitted)]
        assert torch.equal(model(images), before)
    assert errors[1] < errors[0] / 4
