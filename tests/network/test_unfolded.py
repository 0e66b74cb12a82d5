"""Convolutions as products of matrices, beside PyTorch's convolutions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from convnext_edge.network.forms import MatMul
from convnext_edge.network.layers import find_multiplication
from convnext_edge.network.unfolded import Unfolded


@pytest.mark.parametrize("edge", [1, 3, 5])
@pytest.mark.parametrize("size", [(6, 9), (1, 2)])
@pytest.mark.parametrize("bias", [True, False])
def test_an_unfolded_convolution_is_the_same_function(edge: int, size: tuple[int, int], bias: bool) -> None:
    conv = nn.Conv2d(4, 7, edge, padding=edge // 2, bias=bias)
    unfolded = Unfolded(conv)
    x = torch.randn(2, 4, *size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(unfolded(x), conv(x), atol=1e-5, rtol=0)
    assert isinstance(find_multiplication(unfolded), MatMul)


@pytest.mark.parametrize("other", [{"stride": 2}, {"dilation": 2}, {"groups": 2}, {"padding": 0}])
def test_other_convolutions_are_not_unfolded(other: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        Unfolded(nn.Conv2d(4, 4, 3, **{"padding": 1, **other}))  # type: ignore[arg-type]
