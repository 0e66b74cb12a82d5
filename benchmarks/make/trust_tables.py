"""Tables of the long trials: malformed files, soaks, kills, races and disks."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.support.markdown import Report, table


def soak(report: Report) -> Iterator[str]:
    yield f"{report['threads']} threads each, {report['minutes']:g} minutes."
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
    )
    yield from table(header, (soak_cells(name, row) for name, row in report["programs"].items()))


def soak_cells(name: str, row: Report) -> Iterator[str]:
    yield name
    yield from (f"{row[key]}" for key in ("calls", "opened", "wrong", "errors"))
    yield f"{row['last_fifth_rss_bytes'] / 2**20:.0f}"
    yield f"{100 * row['growth']:.2f}"
    yield f"{row['slope_bytes_a_minute'] / 2**10:.0f}"


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
