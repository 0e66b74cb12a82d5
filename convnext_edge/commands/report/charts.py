"""The geometry of charts: round ticks, and where on an axis a value is, in percent of its length.

Charts are SVG in percent of their width, so that text has one size on a phone and on a screen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

TICKS = 4  # steps of an axis, about: as many as a phone has room for


@dataclass(frozen=True)
class Tick:
    """A number below an axis."""

    at: float  # percent of the axis
    text: str


@dataclass(frozen=True)
class Scale:
    """A mapping from values to percent of an axis, over the range that its ticks cover."""

    ticks: tuple[float, ...]  # values, ascending

    @classmethod
    def over(cls, values: Sequence[float]) -> Scale:
        """Choose round ticks that cover all values; their distance is 1, 2 or 5 times a power of ten.

        Values that are nearly equal get an axis of a ten-thousandth of them, whose ticks have few digits.
        """
        least, largest = min(values), max(values)
        raw = max(largest - least, 1e-4 * max(abs(least), abs(largest)), 1e-9) / TICKS
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
        first, last = math.floor(least / step + 1e-9), math.ceil(largest / step - 1e-9)
        return cls(tuple(step * number for number in range(first, max(last, first + 1) + 1)))

    def __call__(self, value: float) -> float:
        """Return where a value is, in percent."""
        return round(100 * (value - self.ticks[0]) / (self.ticks[-1] - self.ticks[0]), 3)

    def marks(self) -> list[Tick]:
        """Return the ticks as they are written, with as many digits as tell them apart."""
        step = self.ticks[1] - self.ticks[0]
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return [Tick(self(value), f"{value + 0.0:.{digits}f}") for value in self.ticks]


@dataclass(frozen=True)
class LogScale:
    """A mapping from positive values to percent of an axis on which equal ratios are equally long."""

    least: float
    largest: float

    @classmethod
    def over(cls, values: Sequence[float]) -> LogScale:
        """Cover all values, and half of an octave or more."""
        least, largest = min(values), max(values)
        return cls(least, max(largest, least * math.sqrt(2)))

    def __call__(self, value: float) -> float:
        """Return where a value is, in percent."""
        return round(100 * math.log(value / self.least) / math.log(self.largest / self.least), 3)

    def marks(self) -> list[Tick]:
        """Return ticks of two digits at even distances."""
        values = (self.least * (self.largest / self.least) ** (number / TICKS) for number in range(TICKS + 1))
        return [Tick(100 * number / TICKS, f"{value:.3g}") for number, value in enumerate(values)]


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram."""

    at: float  # left edge, in percent
    width: float
    height: float  # in percent of the highest


def histogram_bars(
    edges: Sequence[float], counts: Sequence[float], scale: Scale | LogScale, *, log: bool = False
) -> list[Bar]:
    """Return the bars of a histogram that are not empty.

    log: heights by the logarithm of the counts, over six powers of ten below the highest.
    """
    most = max(counts, default=0) or 1.0
    found = []
    for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True):
        if count > 0:
            share = count / most
            height = max(0.0, 1 + math.log10(share) / 6) if log else share
            found.append(Bar(scale(left), max(scale(right) - scale(left), 0.1), max(100 * height, 1.5)))
    return found
