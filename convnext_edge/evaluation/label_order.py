"""Whether labels count the classes in another order than the model: its answers to each label tell it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FAR = 2  # times as many right answers: by chance, no other order of the classes gives these


class OtherOrder(NamedTuple):
    """An order of the classes in which far more answers are right."""

    right: int  # answers, in this order
    label: int  # one whose class the model calls otherwise
    answer: int  # what it calls it


def other_order(counts: NDArray[np.int64]) -> OtherOrder | None:
    """Return the order in which most answers are right, and far more than in that of the labels, if any.

    counts: (classes, classes), how often each label got each answer, labels first. In an order, each label
    has an answer of its own: it is made of the pairs of label and answer that are met most often.
    """
    labels, answers = np.nonzero(counts)
    met = np.argsort(-counts[labels, answers], kind="stable")
    called: dict[int, int] = {}
    for label, answer in zip(labels[met].tolist(), answers[met].tolist(), strict=True):
        if label not in called and answer not in called.values():
            called[label] = answer
    right = sum(int(counts[pair]) for pair in called.items())
    moved = [(label, answer) for label, answer in called.items() if label != answer]
    if not moved or right <= FAR * int(np.trace(counts)) or 2 * right <= counts.sum():
        return None
    return OtherOrder(right, *max(moved, key=lambda pair: int(counts[pair])))
