"""The layout of text for people: pairs, tables and folded lines, within 80 columns."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from textwrap import wrap

MIB = 2**20
WIDTH = 80  # columns
UNSHOWN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # categories of Unicode: such a character would spoil the terminal
KEPT = "\t\u200c\u200d"  # the last two join letters in words of some languages, and in emoji
# Parts of the names of figures -> how they read.
WORDS = {
    "sqnr": "SQNR",
    "db": "(dB)",
    "r2": "R2",
    "knn": "k-NN",
    "f1": "F1",
    "p1": "1st percentile",
    "points": "(points)",
    "miou": "mIoU",
}


class Sentence(str):
    """A value that is broken between words where its line would be too long."""

    __slots__ = ()


class Commands(str):
    """A value that is broken behind `&&` where its line would be too long."""

    __slots__ = ()


def lines(*rows: tuple[str, object]) -> str:
    """Return a line for each pair of name and value, with the values aligned; of a `Sentence`, several."""
    width = max(len(name) for name, _ in rows)
    told = []
    for name, value in rows:
        parts = _parts(value, WIDTH - width - 2)
        told += [f"{label:<{width}}  {part}" for label, part in zip_longest([name], parts, fillvalue="")]
    return "\n".join(told)


def _parts(value: object, width: int) -> list[object]:
    if isinstance(value, Sentence):
        return [*_broken(value, width)]
    if isinstance(value, Commands) and len(value) > width:
        broken = value.replace(" && ", " &&\n")
        if shlex.split(broken) == shlex.split(value):  # else it is part of a name
            return [*broken.splitlines()]
    return [value]


def printable(text: str) -> str:
    """Return a text with its control characters escaped."""
    return "".join(c.encode("unicode_escape").decode() if _spoils(c) else c for c in text)


def printable_lines(text: str) -> str:
    """Return lines with their control characters escaped: names of files and classes may hold any."""
    return "\n".join(map(printable, text.split("\n")))


def _spoils(character: str) -> bool:
    return unicodedata.category(character) in UNSHOWN and character not in KEPT


def fold(text: str) -> str:
    """Return the text with its long lines broken between words."""
    return "\n".join("\n".join(_broken(line, WIDTH)) for line in text.splitlines())


def _broken(line: str, width: int) -> list[str]:
    return wrap(line, width, break_long_words=False, break_on_hyphens=False)


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return a line for each row, with the columns aligned; the rows have equally many cells."""
    cells = list(rows)
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def verdict(gates: Sequence[str], passed: bool, undecided: Sequence[str] = ()) -> str:
    """Say whether the gates that were set are met. gates, undecided: what each is on."""
    open_ones = [f"NOT decided: {', '.join(undecided)}"] if undecided else []
    if not gates and passed:
        return "; ".join(open_ones) or "none set"
    one_of = "one of " if len(gates) > 1 and not passed else ""
    names = f" ({one_of}{', '.join(gates)})" if gates else ""
    return "; ".join([("passed" if passed else "NOT met") + names, *open_ones])


def device_line(device: object | None) -> list[tuple[str, object]]:
    """Return the device that a result is from as a pair of name and value; nothing for this machine."""
    return [] if device is None else [("device", Sentence(str(device)))]


def warned(warnings: Iterable[str]) -> list[tuple[str, object]]:
    """Return each of the warnings as a pair of name and value, for `lines`."""
    return [("WARNING", Sentence(warning)) for warning in warnings]


def command_line(*words: object) -> str:
    """Return a call of our program as a person would type it. A word in capitals is to be replaced.

    words: a `Path` is never taken for an option, whatever its name begins with.
    """
    return shlex.join(["convnext-edge", *map(_typed, words)])


def _typed(word: object) -> str:
    text = str(word)
    return f"./{text}" if isinstance(word, Path) and text.startswith("-") else text


def broken_into_lines(command: str, indent: int) -> str:
    """Return a long call in lines that a shell takes for one; names of files are left whole.

    indent: columns before each line, those before the first are the caller's.
    """
    told: list[str] = []
    for word in map(shlex.quote, shlex.split(command)):
        joined = f"{told[-1]} {word}" if told else word
        if told and (word.startswith("--") or len(joined) > WIDTH - indent - len(" \\")):
            told.append(word)
        else:
            told[-1:] = [joined]
    return f" \\\n{' ' * indent}".join(told)


def ran_by(artifact: Path, runtime: str) -> list[tuple[str, object]]:
    """Return what was looked at, and what ran it, as lines: one, where it is not too long."""
    whole = f"{artifact} on {runtime}"
    if len(whole) <= WIDTH - len("throughput  "):
        return [("candidate", whole)]
    return [("candidate", artifact), ("", f"on {runtime}")]


def counted(count: int, name: str) -> str:
    """Return a number of things, as `1 thread` or `2 threads`."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def size(size: int, fp32: int | None, seconds: float) -> str:
    """Say how large a file is (bytes), how large its weights are in FP32, and in how long it was made."""
    beside = "" if fp32 is None else f" (FP32: {fp32 / MIB:.1f} MiB)"
    return f"{size / MIB:.1f} MiB{beside}, made in {seconds:.1f} s"


def title_of(figure: str) -> str:
    """Return the name of a figure as people read it, as `SQNR (dB)` for `sqnr_db`."""
    if figure in ("map_reference", "map_candidate"):  # of a mean average precision; else of a map of features
        return figure.replace("map_", "mAP, ")
    return " ".join(WORDS.get(word, word) for word in figure.split("_"))


def metric_lines(metrics: Mapping[str, float | None]) -> list[tuple[str, object]]:
    """Return the metrics of a task as lines."""
    return [
        (title_of(name), "unknown" if value is None else f"{value:.5g}") for name, value in metrics.items()
    ]


def size_of(count: int) -> str:
    """Return a number of bytes as MiB."""
    return f"{digits(count / MIB)} MiB"


def digits(value: float) -> str:
    """Return a number with one decimal, or without where it has three digits before it."""
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.1f}"


def skipped(names: Sequence[str]) -> str:
    """Say how many images were skipped, and name the first three; empty where there are none."""
    return f", {len(names)} broken ones skipped: {', '.join(names[:3])}" if names else ""


def lost_or_won(points: float, what: str, interval: tuple[float, float]) -> str:
    """Return a loss with its 95 % interval, as `loses +0.20 points of top-1`; a negative one is a gain."""
    low, high = interval
    if points < 0:
        return f"gains {-points:.2f} {what} (a drop, 95 %: {low:+.2f} to {high:+.2f})"
    return f"loses {points:+.2f} {what} (95 %: {low:+.2f} to {high:+.2f})"
