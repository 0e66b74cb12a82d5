"""Tables of the long trials: malformed files, soaks, silences, kills, races and disks."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.support.markdown import Report, table

SOAKED = {
    "calls": ("calls", "{:d}", 1),
    "sessions opened": ("opened", "{:d}", 1),
    "wrong": ("wrong", "{:d}", 1),
    "errors": ("errors", "{:d}", 1),
    "rounds": ("rounds", "{:d}", 1),
    "MiB": ("last_fifth_rss_bytes", "{:.0f}", 2**20),
    "growth %": ("growth", "{:.2f}", 0.01),
    "slope, KiB a minute": ("slope_bytes_a_minute", "{:.0f}", 2**10),
    "MiB allocated": ("last_fifth_allocated_bytes", "{:.1f}", 2**20),
    "their growth %": ("allocated_growth", "{:.2f}", 0.01),
}  # of each column: the key of its values, how they are written, and their unit


def soak(report: Report) -> Iterator[str]:
    yield f"{report['threads']} threads each, {report['minutes']:g} minutes."
    if "warm_up" in report:
        yield f"Before, {report['warm_up']:g} minutes of warm-up. The slope is that of the second half."
    yield ""
    rows = report["programs"].items()
    yield from table(("program", *SOAKED), ([name, *soak_cells(row)] for name, row in rows))


def soak_cells(row: Report) -> Iterator[str]:
    """What a program that ended early, or an older report, does not tell is a dash."""
    for key, form, unit in SOAKED.values():
        value = row.get(key)
        yield "-" if value is None else form.format(value if unit == 1 else value / unit)


def silence(report: Report) -> Iterator[str]:
    yield f"Model {report['variant']}, in seconds. What was shown before each silence is in the report."
    yield ""
    header = ("command", "shown on", "first line", "longest silence", "in all", "behind the result")
    places = [place for place in ("terminal", "pipe") if place in report]
    yield from table(header, (silence_cells(row, place) for place in places for row in report[place]))


def silence_cells(row: Report, place: str) -> Iterator[str]:
    yield row["command"]
    yield f"a {place}"
    keys = ("first_line_seconds", "longest_silence_seconds", "seconds", "seconds_behind_the_result")
    yield from (f"{row[key]:.1f}" for key in keys)


def kills(report: Report) -> Iterator[str]:
    header = ("command", "kills", "that it died of", "after which the next command had something to do")
    keys = ("kills", "interrupted", "left")
    rows = {
        **report["commands"],
        "all": {key: sum(row[key] for row in report["commands"].values()) for key in keys},
    }
    yield from table(header, ([name, *(f"{row[key]}" for key in keys)] for name, row in rows.items()))


def counts(report: Report) -> Iterator[str]:
    yield from table(("what", "times"), ([name, f"{count}"] for name, count in report["counts"].items()))


def fuzz(report: Report) -> Iterator[str]:
    keys = ("reader", "inputs", "tracebacks", "crashes", "slowest_seconds", "most_bytes")
    header = ("reader", "inputs", "tracebacks", "crashes", "slowest, CPU seconds", "most bytes")
    yield from table(header, ([f"{row[key]}" for key in keys] for row in report["readers"]))


def grid_kills(report: Report) -> Iterator[str]:
    seconds = report["seconds"]
    yield (
        f"{report['cells']} cells of {report['parts']} parts with their models; killed while at"
        f" {', '.join(report['killed_at'])}. {seconds['on_ray']:.0f} s on Ray with the kills,"
        f" {seconds['without_ray']:.0f} s without Ray."
    )
