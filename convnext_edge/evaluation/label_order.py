"""Whether labels count the classes in another order than the model: its answers to each label tell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FAR = 2  # times as many right answers: by chance, no other order of the classes gives these


class OtherOrder(NamedTuple):
    """An order of the classes in which far more answers are right."""

    right: int  # answers, in this order
    label: int  # one whose class the model calls otherwise
    answer: int  # what it calls it


def other_order(met: Mapping[tuple[int, int], int]) -> OtherOrder | None:
    """Return the order in which most answers are right, and far more than in that of the labels, if any.

    met: how often each label got each answer. In an order, each label has an answer of its own: it is made of
    the pairs of label and answer that are met most often.
    """
    called: dict[int, int] = {}
    taken: set[int] = set()
    for label, answer in sorted(met, key=lambda pair: (-met[pair], pair)):
        if label not in called and answer not in taken:
            called[label] = answer
            taken.add(answer)
    right = sum(met[pair] for pair in called.items())
    as_labelled = sum(count for (label, answer), count in met.items() if label == answer)
    moved = [(label, answer) for label, answer in called.items() if label != answer]
    if not moved or right <= FAR * as_labelled or 2 * right <= sum(met.values()):
        return None
    return OtherOrder(right, *max(moved, key=lambda pair: met[pair]))


def pairs_of(counts: NDArray[np.int64]) -> dict[tuple[int, int], int]:
    """Return how often each label got each answer, as pairs that were met, of a table with labels first."""
    labels, answers = np.nonzero(counts)
    found = counts[labels, answers].tolist()
    return dict(zip(zip(labels.tolist(), answers.tolist(), strict=True), found, strict=True))
