"""Resizing as products with banded matrices, beside PyTorch's own resizing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from convnext_edge.network.banded import BandedProduct, Enlarged, bands, resizing, shifted

SIZES = [
    ((4, 4), (16, 16)),
    ((5, 3), (20, 24)),
    ((64, 48), (256, 192)),
    ((7, 11), (61, 100)),
    ((9, 8), (9, 8)),
]


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_maps_are_resized_as_by_pytorch(before: tuple[int, int], after: tuple[int, int]) -> None:
    x = noise(2, 3, *before)
    expected = F.interpolate(x, size=after, mode="bilinear", align_corners=False)
    torch.testing.assert_close(Enlarged(before, after)(x), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("before", "after", "blocks"),
    [(64, 128, True), (32, 128, True), (8, 128, False), (64, 127, False), (100, 100, True), (128, 64, False)],
)
def test_a_product_is_that_with_the_whole_matrix(before: int, after: int, blocks: bool) -> None:
    """127 rows have no blocks; of 8 columns, or where maps shrink, blocks would take too many."""
    matrix, x = resizing(before, after), noise(2, 3, before, 5)
    product = BandedProduct(matrix)
    assert (product.used is not None) == blocks
    torch.testing.assert_close(product(x), torch.matmul(matrix, x), atol=1e-5, rtol=0)


def test_blocks_have_the_columns_with_entries_and_fill_up_with_zeros() -> None:
    matrix = torch.tensor([[1.0, 0, 0, 0], [0, 2, 0, 3], [0, 0, 0, 4]]).repeat_interleave(20, dim=0)
    blocks, used = bands(matrix)
    assert blocks.shape == (2, 30, 3)
    assert used.tolist() == [[0, 1, 3], [1, 3, 3]]
    assert not blocks[1, :, 2].any()
    whole = torch.zeros(2, 30, 4).scatter_add_(2, used[:, None].expand(2, 30, 3), blocks)
    assert torch.equal(whole.view(60, 4), matrix)


def test_what_comes_from_beyond_the_map_is_zero() -> None:
    rows = torch.tensor([[1.0], [2.0], [3.0]])
    assert shifted(rows, -1).flatten().tolist() == [0, 1, 2]
    assert shifted(rows, 0).flatten().tolist() == [1, 2, 3]
    assert shifted(rows, 1).flatten().tolist() == [2, 3, 0]
