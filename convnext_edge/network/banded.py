"""Resizing of maps as products with matrices, most of whose entries are zero.

What resizes an edge by bilinear interpolation is a matrix (after, before) with two entries a row, next to
the diagonal. Runtimes multiply faster than they change layouts, and their own resizing asks for one: OpenVINO
resizes with the channels last, and then takes twice as long to bring large maps back.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convnext_edge.network.upernet import Size, resize

BLOCK = 32  # rows of a matrix that are multiplied at once, at most; half of them at least


class BandedProduct(nn.Module):
    """The product of a matrix (M, K) with the rows of (N, A, K, L), whose result is (N, A, M, L).

    Blocks of rows are multiplied with those rows of the input that they have entries for. That copies
    rows, so blocks are made where they leave a third of the products or less.
    """

    matrix: Tensor
    used: Tensor | None

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.rows = len(matrix)
        blocks, used = bands(matrix)
        worth = blocks.shape[1] >= BLOCK // 2 and 3 * used.shape[1] <= matrix.shape[1]
        # four axes and more, as a product with a matrix of two would be a layer with weights
        self.register_buffer("matrix", blocks[None, None] if worth else matrix[None, None])
        self.register_buffer("used", used.flatten() if worth else None)
        self.shape = used.shape

    def forward(self, x: Tensor) -> Tensor:
        if self.used is None:
            return torch.matmul(self.matrix, x)
        outer, columns = x.shape[1], x.shape[3]
        taken = x.index_select(2, self.used).reshape(-1, outer, *self.shape, columns)
        return torch.matmul(self.matrix, taken).reshape(-1, outer, self.rows, columns)


def bands(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return the blocks of rows of (M, K), (B, M / B, k), and which of its columns each has, (B, k).

    k is the most columns that any block has entries in. The others repeat a column, with zeros.
    """
    rows = len(matrix)
    block = next(size for size in range(min(BLOCK, rows), 0, -1) if rows % size == 0)
    blocks = matrix.view(-1, block, matrix.shape[1])
    filled = [part.any(0).nonzero().flatten() for part in blocks]
    most = max(map(len, filled))
    result, used = torch.zeros(len(blocks), block, most), torch.zeros(len(blocks), most, dtype=torch.int64)
    for place, (part, columns) in enumerate(zip(blocks, filled, strict=True)):
        result[place, :, : len(columns)] = part[:, columns]
        used[place, : len(columns)] = columns
        used[place, len(columns) :] = columns[-1]
    return result, used


class Enlarged(nn.Module):
    """Bilinear resizing of (N, C, H, W) of a given size to another: the columns first, then the rows."""

    across: Tensor

    def __init__(self, before: Size, after: Size) -> None:
        super().__init__()
        self.register_buffer("across", resizing(before[1], after[1]).T.contiguous()[None, None])
        self.down = BandedProduct(resizing(before[0], after[0]))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down(torch.matmul(x, self.across))
        return y


def resizing(before: int, after: int) -> Tensor:
    """Return the matrix (after, before) that resizes an edge as `resize` does."""
    # what becomes of a row with a one at each place, (after, before)
    return resize(torch.eye(before).view(1, before, 1, before), (1, after))[0, :, 0].T


def shifted(matrix: Tensor, shift: int) -> Tensor:
    """Return (rows, columns) with each row in place of the one `shift` before; those without one are zero."""
    result = torch.zeros_like(matrix)
    count = len(matrix) - abs(shift)
    start, source = max(-shift, 0), max(shift, 0)
    result[start : start + count] = matrix[source : source + count]
    return result
