"""Tables of the long trials: malformed files, soaks, silences, kills, races and disks."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.support.markdown import Report, table


def soak(report: Report) -> Iterator[str]:
    minutes = f"{report['minutes']:g} minutes behind {report['warm_up']:g} of warm-up"
    yield f"{report['threads']} threads each, {minutes}. Slope is that of the second half."
    yield ""
    header = (
        "program",
        "calls",
        "sessions opened",
        "wrong",
        "errors",
        "MiB",
        "growth %",
        "slope, KiB a minute",
        "MiB allocated",
        "growth %",
    )
    yield from table(header, (soak_cells(name, row) for name, row in report["programs"].items()))


def soak_cells(name: str, row: Report) -> Iterator[str]:
    yield name
    yield from (f"{row[key]}" for key in ("calls", "opened", "wrong", "errors"))
    yield f"{row['last_fifth_rss_bytes'] / 2**20:.0f}"
    yield f"{100 * row['growth']:.2f}"
    yield f"{row['slope_bytes_a_minute'] / 2**10:.0f}"
    yield f"{row['last_fifth_allocated_bytes'] / 2**20:.1f}"
    yield f"{100 * row['allocated_growth']:.2f}"


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
