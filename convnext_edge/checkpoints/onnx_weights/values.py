"""The layout of a value of an ONNX graph: which axes of a feature map its axes are made of.

An axis is a list of atoms: parts of N, C, H and W with their sizes. Reshapes group and split atoms,
transposes move axes, and neither changes the term. An axis of one element that is no part of the map has no
atoms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convnext_edge.checkpoints.onnx_weights.terms import Constant, Term


class LayoutError(ValueError):
    """Says why a value cannot be what an operator takes, as the end of the sentence "X reads a value ..."."""


class Atom(NamedTuple):
    """A part of an axis of the feature map."""

    label: str  # n, c, h or w; behind it 0 or 1 where a reshape has split it in rows of patches
    size: int


Axis = tuple[Atom, ...]


@dataclass(frozen=True, eq=False)
class Value:
    """A value of the graph that depends on the image: what it is, and in which layout."""

    term: Term
    axes: tuple[Axis, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return tuple(prod(atom.size for atom in axis) for axis in self.axes)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of each axis, joined."""
        return tuple("".join(atom.label for atom in axis) for axis in self.axes)

    def size(self, label: str) -> int:
        """Return the size of an axis of the map; 1 where the value has none."""
        return next((atom.size for axis in self.axes for atom in axis if atom.label == label), 1)


def regrouped(value: Value, shape: Sequence[int]) -> tuple[Axis, ...]:
    """Return the axes of a value behind a reshape; raise LayoutError where that takes an atom apart twice."""
    atoms = [atom for axis in value.axes for atom in axis]
    made = []
    for index, size in enumerate(shape):
        axis: list[Atom] = []
        if size == 1 and atoms and atoms[0].size == 1:
            axis.append(atoms.pop(0))
        while prod(atom.size for atom in axis) < size:
            axis.append(_next(atoms, size // prod(atom.size for atom in axis)))
        if index == len(shape) - 1 and all(atom.size == 1 for atom in atoms):
            axis, atoms = axis + atoms, []
        made.append(_joined(axis))
    if atoms or prod(shape) != prod(value.shape):
        raise LayoutError(f"of shape {value.shape} that no shape {tuple(shape)} keeps the meaning of")
    return tuple(made)


def _next(atoms: list[Atom], most: int) -> Atom:
    """Take the next atom, or so much of it as fits."""
    if not atoms:
        raise LayoutError("that is too small for its new shape")
    label, size = atoms.pop(0)
    if most % size == 0:
        return Atom(label, size)
    if size % most or len(label) > 1:
        raise LayoutError(f"whose axis of {size} is cut in {most}")
    atoms.insert(0, Atom(f"{label}1", size // most))
    return Atom(f"{label}0", most)


def _joined(axis: list[Atom]) -> Axis:
    """Return an axis in which the two parts of an atom are one again where they stand together."""
    made: list[Atom] = []
    for atom in axis:
        before = made[-1] if made else None
        if before is not None and before.label == f"{atom.label[0]}0" and atom.label == f"{atom.label[0]}1":
            made[-1] = Atom(atom.label[0], before.size * atom.size)
        else:
            made.append(atom)
    return tuple(made)


def broadcast(a: Value, b: Value) -> tuple[Axis, ...]:
    """Return the axes of an operator of two values; raise LayoutError where theirs are not the same."""
    rank = max(len(a.axes), len(b.axes))
    first, second = (((),) * (rank - len(value.axes)) + value.axes for value in (a, b))
    if any(x and y and x != y for x, y in zip(first, second, strict=True)):
        raise LayoutError(f"of axes {a.labels} beside one of {b.labels}")
    return tuple(x or y for x, y in zip(first, second, strict=True))


def along_channels(value: Value, constant: NDArray[Any]) -> tuple[Constant, tuple[Axis, ...]]:
    """Return a constant as a number or one for each channel, and the axes of its sum with a value.

    Raises LayoutError for a constant that varies along other axes.
    """
    axes = ((),) * (constant.ndim - len(value.axes)) + value.axes
    sizes = (1,) * (len(axes) - constant.ndim) + constant.shape
    varying = [index for index, size in enumerate(sizes) if size != 1]
    numbers = constant.astype(np.float64)
    if not varying:
        return numbers.reshape(()), axes
    (index, *more) = varying
    widened = not axes[index] and "c" in value.term.reduced and sum(not axis for axis in axes) == 1
    if more or not (widened or axes[index] == (Atom("c", sizes[index]),)):
        raise LayoutError(f"of axes {value.labels} beside a constant of shape {constant.shape}")
    made = (*axes[:index], (Atom("c", sizes[index]),), *axes[index + 1 :])
    return numbers.reshape(-1), made
