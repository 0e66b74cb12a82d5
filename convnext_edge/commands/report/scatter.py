"""Accuracy against latency, with the models that no other beats in both."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from convnext_edge.commands.report.charts import Scale, Tick
from convnext_edge.commands.report.groups import Group, Line
from convnext_edge.commands.report.verdict import images, setting_of, setting_text
from convnext_edge.commands.rows import Row
from convnext_edge.commands.text import MIB

LARGEST = 20.0  # pixels: radius of the largest file
SMALLEST = 4.0
# What stands for accuracy, first what says most: its key in the row or its metrics, its name, and its factor.
AXES = (
    ("candidate_top1", "Top-1, %", 100.0),
    ("agreement", "Same answers as FP32, %", 100.0),
    ("map_candidate", "mAP, %", 100.0),
    ("cosine_mean", "Cosine to FP32", 1.0),
    ("r2", "R2 against FP32", 1.0),
    ("sqnr_db", "SQNR, dB", 1.0),
)


@dataclass(frozen=True)
class Point:
    """A model in the chart; places are in percent."""

    key: str
    x: float
    y: float  # from the top
    radius: float  # pixels
    colour: int
    text: str  # all that is known, a fact a line
    low: float | None = None  # ends of the interval of the accuracy
    high: float | None = None
    front: bool = False  # whether no other is faster and as accurate
    doubtful: bool = False
    label: tuple[float, float] = (0.0, 0.0)  # pixels from the centre


@dataclass(frozen=True)
class Scatter:
    """Accuracy against latency of what was timed in one setting."""

    setting: str
    y_title: str
    points: tuple[Point, ...]
    front: tuple[tuple[float, float, float, float], ...]  # lines of the Pareto front: x1, y1, x2, y2
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    reference: tuple[float, float, str] | None  # FP32 PyTorch: x, y, and its text


def scatters(group: Group, commands: dict[str, list[str]]) -> Iterator[Scatter]:
    """Yield a chart for each setting that models were timed in, and each image set they were validated on.

    commands: of each line, by its key.
    """
    known = [line for line in group.lines if line.row["candidate_ms"] and not line.row["simulated"]]
    axis = next((axis for axis in AXES if any(_value(axis[0], line.row) is not None for line in known)), None)
    if axis is None:
        return
    settings: dict[tuple[object, ...], list[Line]] = {}
    for line in known:
        if _value(axis[0], line.row) is not None:
            place = (*setting_of(line.row), line.row["data"], line.row["data_path"], line.row["images"])
            settings.setdefault(place, []).append(line)
    for lines in settings.values():
        yield _scatter(lines, axis, commands)


def _value(key: str, row: Row) -> float | None:
    found: float | None = (row["metrics"] or {}).get(key, row.get(key))
    return found


def _scatter(lines: Sequence[Line], axis: tuple[str, str, float], commands: dict[str, list[str]]) -> Scatter:
    key, title, factor = axis
    reference = _reference(key, [line.row for line in lines])
    measured = [
        Measured(line, factor * (_value(key, line.row) or 0.0), _ends(key, line.row)) for line in lines
    ]
    accuracies = [accuracy for one in measured for accuracy in (one.accuracy, *(one.ends or ()))]
    x = Scale.over([0.0, *(one.time for one in measured), *(reference[:1] if reference else ())])
    y = Scale.over([*accuracies, *(reference[1:] if reference else ())])
    best = pareto([one.time for one in measured], [one.accuracy for one in measured])
    most = max(1, *(line.row["bytes"] for line in lines))
    points = [
        _point(one, x, y, most, front=number in best, commands=commands[one.line.key])
        for number, one in enumerate(measured)
    ]
    shown = None
    if reference:
        text = f"FP32 PyTorch: {reference[0]:.2f} ms, {reference[1]:.2f}"
        shown = (x(reference[0]), 100 - y(reference[1]), text)
    return Scatter(
        f"{setting_text(lines[0].row)};{images(lines[0].row)}",
        title,
        tuple(placed(points)),
        tuple(steps([(points[number].x, points[number].y) for number in best])),
        tuple(x.marks()),
        tuple(y.marks()),
        shown,
    )


@dataclass(frozen=True)
class Measured:
    """What is known of a point before it has a place."""

    line: Line
    accuracy: float
    ends: tuple[float, float] | None  # of its interval

    @property
    def time(self) -> float:
        """The median milliseconds of a call."""
        return float(self.line.row["candidate_ms"]["p50"])


def _point(one: Measured, x: Scale, y: Scale, most: int, *, front: bool, commands: Sequence[str]) -> Point:
    """Return the place of a point. most: bytes of the largest file."""
    row = one.line.row
    return Point(
        one.line.key,
        x(one.time),
        100 - y(one.accuracy),
        round(max(SMALLEST, LARGEST * math.sqrt(row["bytes"] / most)), 1),
        one.line.colour,
        described(one.line, commands),
        low=100 - y(one.ends[0]) if one.ends else None,
        high=100 - y(one.ends[1]) if one.ends else None,
        front=front,
        doubtful=not row["reliable"],
    )


def _ends(key: str, row: Row) -> tuple[float, float] | None:
    """Return the interval of the accuracy, in percent; of top-1, that of the drop, below the reference."""
    if key == "candidate_top1" and row["drop_ci95_points"]:
        low, high = row["drop_ci95_points"]
        return max(0.0, 100 * row["reference_top1"] - high), min(100.0, 100 * row["reference_top1"] - low)
    if key == "agreement" and row["agreement_ci95"]:
        low, high = row["agreement_ci95"]
        return 100 * low, 100 * high
    return None


def _reference(key: str, rows: Sequence[Row]) -> tuple[float, float] | None:
    """Return milliseconds and accuracy of FP32 PyTorch, where both are known."""
    times = [row["reference_ms"]["p50"] for row in rows if row["reference_ms"]]
    known = [row["reference_top1"] for row in rows if row["reference_top1"] is not None]
    if key != "candidate_top1" or not (times and known):
        return None
    return median(times), 100 * known[0]


def pareto(times: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """Return the numbers of those that no other beats in one and equals in the other, the fastest first."""
    order = sorted(range(len(times)), key=lambda number: (times[number], -accuracies[number]))
    front: list[int] = []
    for number in order:
        if not front or accuracies[number] > accuracies[front[-1]]:
            front.append(number)
    return front


def steps(points: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float, float, float]]:
    """Yield the lines of the front, which goes right and then up: until the next one, none is better."""
    for (x1, y1), (x2, y2) in pairwise(points):
        yield x1, y1, x2, y1
        yield x2, y1, x2, y2


def described(line: Line, commands: Sequence[str]) -> str:
    """Return what is shown of a point under the pointer: its name, file, figures and last commands."""
    row = line.row
    figures = [f"{row['bytes'] / MIB:.1f} MiB", f"{row['candidate_ms']['p50']:.2f} ms"]
    figures += [f"top-1 {row['candidate_top1']:.2%}"] if row["candidate_top1"] is not None else []
    busy = [] if row["reliable"] else [f"NOT to be relied on: {row['doubt']}"]
    return "\n".join([f"{line.key}: {line.name}", row["file"], ", ".join(figures), *busy, *commands])


WIDE, HIGH = 300.0, 260.0  # pixels of the plot, for labels: on a phone, the narrowest
SIDES = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, 1), (1, 1), (-1, -1))
LETTER = 9.0  # pixels


def placed(points: Sequence[Point]) -> Iterator[Point]:
    """Yield the points, each with its letter on the side where it is farthest from points and letters."""
    centres = [(WIDE * point.x / 100, HIGH * point.y / 100) for point in points]
    letters: list[tuple[float, float]] = []

    for (x, y), point in zip(centres, points, strict=True):
        away = point.radius + LETTER
        taken = [centre for centre in centres if centre != (x, y)] + letters

        def room(side: tuple[int, int], x: float = x, y: float = y, away: float = away,
                 taken: Sequence[tuple[float, float]] = taken) -> float:  # fmt: skip
            at = (x + away * side[0], y + away * side[1])
            inside = min(at[0], WIDE - at[0], at[1], HIGH - at[1])
            return min([math.dist(at, other) for other in taken] + [LETTER * 3]) + min(0.0, inside)

        side = max(SIDES, key=room)
        letters.append((x + away * side[0], y + away * side[1]))
        yield replace(point, label=(round(away * side[0], 1), round(away * side[1], 1)))
