"""What the ONNX operators on shapes compute, in PyTorch: on tensors, and on sizes that stay symbols."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Sizes: TypeAlias = npt.NDArray[np.object_]
"""Integers that ONNX keeps in an int64 tensor: a shape, axes or indices; each an int or a torch.SymInt.

As objects in an array they pass through Gather, Concat and arithmetic without losing their symbols.
"""

Value: TypeAlias = Tensor | Sizes
Axes: TypeAlias = Sizes | Sequence[int]
V = TypeVar("V", Tensor, Sizes)


def shape(x: Tensor, *, start: int = 0, end: int | None = None) -> Sizes:
    """Return the sizes of the axes from `start` to before `end`."""
    return np.asarray(list(x.shape[start:end]), dtype=object)


def reshape(x: V, sizes: Sizes, *, allowzero: int = 0) -> V:
    """Return x in another shape; a size of -1 is inferred, one of 0 taken from `x` unless `allowzero`."""
    copied = [x.shape[i] if _is_zero(size) and not allowzero else size for i, size in enumerate(sizes)]
    return x.reshape(copied)


def _is_zero(size: Any) -> bool:
    return isinstance(size, int) and size == 0  # asking a symbol would fix it for good


def expand(x: Tensor, sizes: Sizes) -> Tensor:
    """Return x broadcast to `sizes`, and `sizes` to x: a size of 1 keeps that of `x`."""
    return x.expand(torch.broadcast_shapes(x.shape, tuple(sizes)))  # type: ignore[no-untyped-call]


def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    """Return x with two axes, the first of which takes in those before `axis`."""
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def transpose(x: Tensor, *, perm: Sequence[int] | None = None) -> Tensor:
    """Return x with its axes in the order `perm`, or reversed where it is None."""
    return x.permute(*(reversed(range(x.ndim)) if perm is None else perm))


def squeeze(x: V, axes: Axes | None = None) -> V:
    """Return x without `axes`; with none given, without all of size 1."""
    if axes is None:
        return x.squeeze()
    dropped = {int(axis) % x.ndim for axis in axes}
    return x[tuple(0 if i in dropped else slice(None) for i in range(x.ndim))]


def unsqueeze(x: V, axes: Axes) -> V:
    """Return x with more axes of size 1, numbered as in the result."""
    rank = x.ndim + len(axes)
    added = {int(axis) % rank for axis in axes}
    return x[tuple(None if i in added else slice(None) for i in range(rank))]


def concat(*parts: Any, axis: int) -> Value:
    """Return the parts, all tensors or all sizes, joined along `axis`."""
    if all(isinstance(part, Tensor) for part in parts):
        return torch.cat(parts, dim=axis)
    joined: Sizes = np.concatenate(parts, axis=axis)
    return joined


def gather(x: V, indices: Value, *, axis: int = 0) -> V:
    """Return x[..., indices, ...] at `axis`; negative indices count from the end."""
    index: Any = indices
    if not isinstance(indices, Tensor):
        index = indices.astype(np.int64)
        index = torch.from_numpy(index) if isinstance(x, Tensor) else index
    return x[(slice(None),) * (axis % x.ndim) + (index,)]


def slice_(x: V, starts: Sizes, ends: Sizes, axes: Sizes | None = None, steps: Sizes | None = None) -> V:
    """Return x[start:end:step] along each of `axes`; by default along the first ones, with steps of 1."""
    taken = [slice(None)] * x.ndim
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis = i if axes is None else axes[i]
        taken[axis] = slice(start, end, 1 if steps is None else steps[i])
    return x[tuple(taken)]
