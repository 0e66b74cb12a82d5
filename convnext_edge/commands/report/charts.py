"""Charts of bars and intervals, one line for each model, as SVG in the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from convnext_edge.commands.report.markup import Element, element

WIDTH, LABELS, VALUES = 560, 190, 76  # pixels: whole chart, names on the left, numbers on the right
LINE, TOP, AXIS = 28, 8, 30  # pixels: height of a model's line, space above the first, axis below the last
TICKS = 5  # steps of the axis, about
LONGEST = 30  # characters of a name that are shown


@dataclass(frozen=True)
class Mark:
    """A model's line in a chart."""

    name: str
    colour: int  # number of the runtime's colour in the style sheet
    value: float
    text: str  # the value as people read it
    low: float | None = None  # lower end of the interval, None without one
    high: float | None = None  # upper end


@dataclass(frozen=True)
class Scale:
    """A mapping from values to horizontal pixels, over the range that the ticks cover."""

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
        span = self.ticks[-1] - self.ticks[0]
        return LABELS + (WIDTH - LABELS - VALUES) * (value - self.ticks[0]) / span


def bar_chart(title: str, marks: Sequence[Mark], *, unit: str, line: float | None = None) -> Element:
    """Draw a bar from zero for each value.

    line: a value to mark with a vertical line.
    """
    scale = Scale.over([0.0, *(mark.value for mark in marks), *([] if line is None else [line])])

    def bar(mark: Mark, y: float) -> Iterator[Element]:
        left, right = sorted((scale(0), scale(mark.value)))
        yield element(
            "rect",
            x=f"{left:.1f}",
            y=f"{y - 8:.1f}",
            width=f"{max(right - left, 1):.1f}",
            height=16,
            rx=2,
            class_=f"colour{mark.colour}",
        )

    return _chart(title, marks, scale, bar, unit=unit, line=line)


def interval_chart(title: str, marks: Sequence[Mark], *, unit: str, line: float | None = None) -> Element:
    """Draw a dot for each value and a horizontal line for its interval.

    line: a value to mark with a vertical line.
    """
    ends = [end for mark in marks for end in (mark.low, mark.high, mark.value) if end is not None]
    scale = Scale.over([*ends, *([] if line is None else [line])])

    def dot(mark: Mark, y: float) -> Iterator[Element]:
        colour = f"colour{mark.colour}"
        if mark.low is not None and mark.high is not None:
            ends = {"x1": f"{scale(mark.low):.1f}", "x2": f"{scale(mark.high):.1f}"}
            yield element("line", **ends, y1=y, y2=y, class_=f"interval {colour}")
        yield element("circle", cx=f"{scale(mark.value):.1f}", cy=y, r=5, class_=colour)

    return _chart(title, marks, scale, dot, unit=unit, line=line)


def _chart(
    title: str,
    marks: Sequence[Mark],
    scale: Scale,
    draw: Callable[[Mark, float], Iterator[Element]],
    *,
    unit: str,
    line: float | None,
) -> Element:
    bottom = TOP + LINE * len(marks)
    drawing = element(
        "svg", viewBox=f"0 0 {WIDTH} {bottom + AXIS}", role="img", aria_label=title, class_="chart"
    )
    drawing.extend(_axis(scale, bottom, unit))
    if line is not None:
        drawing.append(_vertical(scale(line), bottom, "mark"))
    for number, mark in enumerate(marks):
        y = TOP + LINE * (number + 0.5)
        shown = mark.name if len(mark.name) <= LONGEST else mark.name[: LONGEST - 1] + "…"
        row = element("g", element("title", f"{mark.name}: {mark.text}"))
        row.append(element("text", shown, x=LABELS - 10, y=y + 4, text_anchor="end"))
        row.extend(draw(mark, y))
        row.append(element("text", mark.text, x=WIDTH, y=y + 4, text_anchor="end", class_="value"))
        drawing.append(row)
    return element("figure", element("figcaption", title), drawing)


def _axis(scale: Scale, bottom: float, unit: str) -> Iterator[Element]:
    step = scale.ticks[1] - scale.ticks[0]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    for number, tick in enumerate(scale.ticks):
        yield _vertical(scale(tick), bottom, "grid")
        last = number == len(scale.ticks) - 1
        text = f"{tick:.{digits}f}{f' {unit}' if last else ''}"
        yield element(
            "text", text, x=f"{scale(tick):.1f}", y=bottom + 20, text_anchor="middle", class_="tick"
        )


def _vertical(x: float, bottom: float, kind: str) -> Element:
    return element("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=TOP, y2=bottom, class_=kind)
