"""The verdict: which engine to ship, and why, with the intervals that it rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from convnext_edge.commands.report.groups import Group, Line
from convnext_edge.commands.rows import Row, place_of
from convnext_edge.commands.text import lost_or_won, size_of

# What may be lost where no gate was set: MLPerf Inference asks INT8 for 99 % of the FP32 accuracy
# (https://github.com/mlcommons/inference_policies, "quality target").
TOLERANCE = 0.01
SPEED = "speed"  # the gate of `benchmark`
Standing = Literal["good", "unknown", "bad"]
Decision = Literal["ship", "undecided", "none"]
Setting = tuple[object, ...]


@dataclass(frozen=True)
class Loss:
    """What a candidate loses, in percentage points of top-1 or, without labels, of the same answers."""

    points: float
    most: float  # upper end of the 95 % interval
    least: float
    allowed: float
    what: str  # as "points of top-1"

    @property
    def limit(self) -> str:
        """How much may be lost."""
        return f"{self.allowed:.2f}, which is {TOLERANCE:.0%} of FP32's"

    @property
    def text(self) -> str:
        """The loss with its interval."""
        return f"it {lost_or_won(self.points, self.what, (self.least, self.most))}"


@dataclass(frozen=True)
class Verdict:
    """What to ship of the rows that were timed in one setting."""

    decision: Decision
    sentence: str
    file: str | None = None  # the engine to ship, or the one that is nearest to it
    setting: str = ""  # where it was timed


def verdicts(group: Group) -> list[Verdict]:
    """Return a verdict for each setting that rows of the group were timed in; at least one."""
    timed: dict[Setting, list[Line]] = {}
    for line in group.lines:
        if line.row["candidate_ms"] is not None and not line.row["simulated"]:
            timed.setdefault(setting_of(line.row), []).append(line)
    if not timed:
        return [
            Verdict("none", "Nothing can be shipped yet: no engine was timed; run convnext-edge benchmark.")
        ]
    return [decide(lines) for lines in timed.values()]


def setting_of(row: Row) -> Setting:
    """Return what times must share to be compared."""
    return place_of(row), row["cpu"], row["threads"], row["batch"]


def setting_text(row: Row) -> str:
    """Return the setting as people read it."""
    threads = f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}, batch {row['batch']}"
    return ", ".join(filter(None, (place_of(row), str(row["cpu"]), threads)))


def decide(lines: Sequence[Line]) -> Verdict:
    """Return the verdict on rows that were timed in one setting.

    An engine that loses too much on any image set is not shipped, whatever it loses on another.
    """
    sure = [line for line in lines if line.row["reliable"]] or list(lines)
    bad = [line for line in lines if standing_of(line.row) == "bad"]
    refused = {engine_of(line) for line in bad}
    left = [line for line in sure if engine_of(line) not in refused]
    beside = left_out([line for line in lines if engine_of(line) not in refused], sure)
    good = fastest([line for line in left if standing_of(line.row) == "good"])
    open_one = fastest([line for line in left if standing_of(line.row) == "unknown"])
    if good is not None and not (open_one and is_fp32(good.row) and speed(open_one) < speed(good)):
        return told("ship", good, f"Ship {good.row['file']} ({good.name}): {why(good, sure)}{beside}")
    if open_one is not None:
        return told("undecided", open_one, f"Undecided: {missing(open_one)}{beside}")
    nearest = min(bad, key=lambda line: loss.points if (loss := loss_of(line.row)) else math.inf)
    return told(
        "none", nearest, f"Ship none of these: the nearest, {nearest.row['file']}, {refusal(nearest.row)}"
    )


def left_out(lines: Sequence[Line], sure: Sequence[Line]) -> str:
    """Name the engines that were not held against the others, as their times are not to be relied on."""
    names = dict.fromkeys(line.row["file"] for line in lines if all(line is not one for one in sure))
    return f"; not compared, as they were timed on a busy machine: {', '.join(names)}" if names else ""


def engine_of(line: Line) -> tuple[str, str, str]:
    """Return what rows of one engine share that was validated on several image sets."""
    return line.row["file"], line.row.get("folder") or "", line.row["target"]


def told(decision: Decision, line: Line, sentence: str) -> Verdict:
    """Return a verdict; where the times are not to be relied on, nothing is decided."""
    row = line.row
    where = setting_text(row)
    if row["reliable"] or decision == "none":
        return Verdict(decision, f"{sentence}.", row["file"], where)
    again = f"Undecided until it is timed on a quiet machine ({row['doubt'] or 'its load is not known'}): "
    looks = sentence.removeprefix("Undecided: ").replace("Ship ", "what looks best is ", 1)
    return Verdict("undecided", f"{again}{looks}.", row["file"], where)


def standing_of(row: Row) -> Standing:
    """Return whether what a row loses is little enough: by its gates, or else by `TOLERANCE`."""
    if not row["passed"]:
        return "bad"
    if is_fp32(row):
        return "good"
    loss = loss_of(row)
    if row["images"] is None or row["warnings"]:
        return "unknown"
    if gates_of_loss(row):
        return "good"
    if loss is None:
        return "unknown"
    return "good" if loss.most <= loss.allowed else "bad" if loss.points > loss.allowed else "unknown"


def gates_of_loss(row: Row) -> list[str]:
    """Return the gates on what a row loses, which `validate` sets."""
    return [gate for gate in row["gates"] if gate != SPEED]


def loss_of(row: Row) -> Loss | None:
    """Return what a row loses; None where nobody measured it, or its task has no interval."""
    if row["drop_ci95_points"] is not None:
        least, most = row["drop_ci95_points"]
        allowed = 100 * TOLERANCE * row["reference_top1"]
        return Loss(row["drop_points"], most, least, allowed, "points of top-1")
    if row["agreement_ci95"] is not None:
        low, high = (100 * (1 - end) for end in reversed(row["agreement_ci95"]))
        return Loss(100 * (1 - row["agreement"]), high, low, 100 * TOLERANCE, "% of FP32's answers")
    return None


def is_fp32(row: Row) -> bool:
    """Return whether a row has the reference's own precision."""
    return bool(row["precision"] == "fp32")


def speed(line: Line) -> float:
    """Return the median milliseconds of a call."""
    return float(line.row["candidate_ms"]["p50"])


def fastest(lines: Sequence[Line]) -> Line | None:
    """Return the line with the least median latency."""
    return min(lines, key=speed, default=None)


def why(line: Line, lines: Sequence[Line]) -> str:
    """Say what speaks for a line."""
    row, others = line.row, len(lines) - 1
    facts = [
        times(row),
        size_of(row["bytes"]),
        *([loss.text + images(row)] if (loss := loss_of(row)) else []),
    ]
    if is_fp32(row):
        facts = [
            times(row),
            "the FP32 model itself" + (", and no INT8 engine that passes is faster" if others else ""),
        ]
    elif own := gates_of_loss(row):
        facts.append(f"its gates are met ({', '.join(own)})")
    elif loss is not None:
        facts.append(f"less than {loss.limit}")
    return "; ".join(facts)


def times(row: Row) -> str:
    """Say how fast a row is."""
    if row["speedup"] is None:
        return f"{row['candidate_ms']['p50']:.2f} ms a call (99 % within {row['candidate_ms']['p99']:.2f} ms)"
    interval = row.get("speedup_ci95")
    shown = f" (95 %: {interval[0]:.2f} to {interval[1]:.2f})" if interval else ""
    return f"{row['speedup']:.2f}x as fast as FP32 PyTorch{shown}, {row['candidate_ms']['p50']:.2f} ms a call"


def images(row: Row) -> str:
    """Say on which images a row was validated."""
    return f" on {row['images']:,} images of {Path(row['data']).name}"


def missing(line: Line) -> str:
    """Say what is missing to decide on a line."""
    row, begin = line.row, f"{line.row['file']} ({line.name}) is {times(line.row)}"
    if row["images"] is None:
        return f"{begin}, but nobody validated it: run convnext-edge validate"
    if row["warnings"]:
        return f"{begin}, but its accuracy is not to be relied on: {row['warnings'][0].rstrip('.')}"
    loss = loss_of(row)
    if loss is None:
        return f"{begin}, but no gate says how much it may lose: set one with convnext-edge validate"
    room = loss.allowed - loss.points
    needed = row["images"] * ((loss.most - loss.points) / room) ** 2 if room > 0 else math.inf
    about = f": about {float(f'{needed:.1g}'):,.0f} images would tell" if needed < 1e6 else ""
    return f"{begin}, but {loss.text}{images(row)}, and its upper end may be at most {loss.limit}{about}"


def refusal(row: Row) -> str:
    """Say why a row is not to be shipped."""
    if not row["passed"]:
        return f"does not meet its gates ({', '.join(row['unmet']) or 'see its row'})"
    loss = loss_of(row)
    if loss is None:
        return "was not validated"
    allowed = f"more than {loss.limit}"
    return f"is {times(row)}, but {loss.text}{images(row)}, {allowed}"
