"""The page on rivals, from the reports of benchmarks/measure/rivals.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.support.markdown import Report, interval, table

RESULTS = Path(__file__).parents[1] / "results"
CLOSE = (
    "runs in",
    "made by",
    "top-1 %",
    "drop, points (95 %)",
    "agreement %",
    "SQNR dB",
    "p50 ms",
    "p99 ms",
    "images/s",
    "file MiB",
    "memory MiB",
    "made in s",
    "against ours",
)


def rival_page() -> str:
    """All tables, a section a CPU family."""
    reports = sorted(RESULTS.glob("rivals-*.json"))
    sections = ("\n".join(section(json.loads(path.read_text(encoding="utf-8")))) for path in reports)
    return "\n\n".join(sections) or "No report is here yet."


def section(report: Report) -> Iterator[str]:
    yield f"## {report['cpu']['name']} ({', '.join(report['cpu']['isa'])})"
    if report["note"]:
        yield ""
        yield f"{report['note'].removesuffix('.')}."
    for name, part in report["parts"].items():
        yield ""
        yield f"### {part['model']}"
        yield ""
        yield f"{part['date'][:10]}, one thread, {part['runs']} calls of each in turns."
        if name != "demo":
            yield "Its weights are random: speed, sizes and memory mean something, closeness does not."
        yield ""
        yield from table(
            CLOSE, (cells(row, close=name == "demo") for row in part["rows"] if not row["failed"])
        )
        yield ""
        yield from (
            f"- {row['name']} in {row['runtime']} failed: {row['failed']}"
            for row in part["rows"]
            if row["failed"]
        )
    yield ""
    yield "### Faster and closer than ours?"
    yield ""
    yield "Closer: SQNR on the demo model. Faster: the whole 95 % interval of the ratio is above 1."
    yield ""
    header = ("rival", "runs in", "closer", "faster, demo", "faster, ConvNeXt-T", "both")
    yield from table(header, map(verdict, report["verdicts"]))
    yield ""
    yield "### How each was made"
    yield ""
    yield from table(("made by", "runs in", "call", "version"), calls(report))


def cells(row: Report, *, close: bool) -> Iterator[str]:
    yield row["runtime"]
    yield f"**{row['name']}**" if row["ours"] else row["name"]
    yield f"{100 * row['candidate_top1']:.2f}" if close else "-"
    yield f"{row['drop_points']:.2f} {interval(row['drop_ci95_points'])}" if close else "-"
    yield f"{100 * row['agreement']:.2f}" if close else "-"
    yield ("exact" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f}") if close else "-"
    yield from (f"{row[key]:.2f}" for key in ("p50_ms", "p99_ms"))
    yield f"{row['throughput_ips']:.1f}"
    yield from ("-" if row[key] is None else f"{row[key] / 2**20:.1f}" for key in ("bytes", "peak_rss_bytes"))
    yield f"{row['seconds']:.1f}"
    found = row["against"]
    yield f"{found['times_as_fast']:.2f}x {interval(found['times_as_fast_ci95'])}" if found else ""


def verdict(found: Report) -> Iterator[str]:
    faster = [found[f"faster on {name}"] for name in ("demo", "tiny")]
    yield from (found["name"], found["runtime"])
    yield from ("-" if value is None else "yes" if value else "no" for value in (found["closer"], *faster))
    yield "**yes**" if found["closer"] and any(faster) else "no"


def calls(report: Report) -> Iterator[tuple[str, ...]]:
    rows = {(r["runtime"], r["name"]): r for part in report["parts"].values() for r in part["rows"]}
    for row in rows.values():
        call = f"[`{row['command']}`]({row['source']})" if not row["ours"] else f"`{row['command']}`"
        yield (row["name"], row["runtime"], call, row["version"] or "-")
