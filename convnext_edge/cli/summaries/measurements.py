"""Summaries of validate, benchmark, compare and report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convnext_edge.cli.summaries.base import summary
from convnext_edge.cli.text import MIB, fold, lines, skipped, table
from convnext_edge.results import Benchmark, Compare, Milliseconds, Report, Validate


@summary.register
def _(result: Validate) -> str:
    rows = [
        (
            "candidate",
            f"{result.artifact} on {result.target}" + (f" ({result.label})" if result.label else ""),
        ),
        (
            "images",
            f"{result.images} of {result.data}" + skipped(result.skipped_images) + seen(result.overlap),
        ),
        *accuracy(result),
        ("agreement", f"{result.agreement:.2%} same top-1 (95 %: {interval(result.agreement_ci95)})"),
        ("SQNR", "identical logits" if result.sqnr_db is None else f"{result.sqnr_db:.1f} dB"),
        ("gates", "passed" if result.passed else "NOT met"),
    ]
    return lines(*rows)


def accuracy(result: Validate) -> list[tuple[str, object]]:
    if result.drop_points is None or result.drop_ci95_points is None:
        return [("top-1", "unknown: the images have no labels")]
    low, high = result.drop_ci95_points
    return [
        ("top-1", f"{result.candidate_top1:.2%} (reference {result.reference_top1:.2%})"),
        ("top-5", f"{result.candidate_top5:.2%} (reference {result.reference_top5:.2%})"),
        ("drop", f"{result.drop_points:+.2f} points (95 %: {low:+.2f} to {high:+.2f})"),
    ]


def interval(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.2%} to {bounds[1]:.2%}"


def seen(count: int) -> str:
    return f", {count} of them calibrated with" if count else ""


@summary.register
def _(result: Benchmark) -> str:
    memory = "unknown" if result.peak_rss_bytes is None else f"{result.peak_rss_bytes / MIB:.0f} MiB"
    return lines(
        ("candidate", f"{result.artifact} on {result.target} {result.runtime_version}"),
        ("CPU", result.cpu),
        ("", " ".join(result.isa)),
        ("calls", f"{result.runs} of batch {result.batch} with {result.threads} thread(s), interleaved"),
        ("candidate", milliseconds(result.candidate_ms)),
        ("reference", milliseconds(result.reference_ms) + "  (FP32 PyTorch)"),
        *fp16(result),
        ("speedup", f"{result.speedup:.2f}x; {result.throughput_ips:.1f} images/s"),
        ("memory", f"{memory} at the peak"),
        ("gates", "passed" if result.passed else "NOT met"),
    )


def milliseconds(times: Milliseconds) -> str:
    return f"p50 {times.p50:.2f}  p90 {times.p90:.2f}  p99 {times.p99:.2f}  min {times.min:.2f} ms"


def fp16(result: Benchmark) -> list[tuple[str, object]]:
    """How INT8 does against FP16 on the same runtime, where both were timed."""
    if result.fp16_ms is None:
        return []
    ratio = result.fp16_ms.p50 / result.candidate_ms.p50
    return [("FP16", milliseconds(result.fp16_ms)), ("advice", f"{result.advice}: INT8 is {ratio:.2f}x FP16")]


@summary.register
def _(result: Compare) -> str:
    header = ("target", "method", "top-1", "drop", "agreement", "SQNR", "speedup", "size")
    rows = [compared(row) for row in result.rows]
    return (
        table([header, *rows])
        + f"\n{result.rows[0]['images']} images of {Path(result.rows[0]['data']).name}, speedup against FP32"
        + f" PyTorch, {result.seconds:.0f} s"
        + "".join(f"\n{fold(f'{r.method} on {r.target} is refused: {r.reason}')}" for r in result.refused)
    )


def compared(row: dict[str, Any]) -> tuple[str, ...]:
    """The cells of one row of a comparison."""
    labelled = row["candidate_top1"] is not None
    return (
        row["target"],
        Path(row["method"]).name,
        f"{row['candidate_top1']:.2%}" if labelled else "",
        f"{row['drop_points']:+.2f}" if labelled else "",
        f"{row['agreement']:.2%}",
        "exact" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f} dB",
        "unknown" if row["speedup"] is None else f"{row['speedup']:.2f}x",
        f"{row['bytes'] / MIB:.1f} MiB",
    )


@summary.register
def _(result: Report) -> str:
    models = sorted({row["model"] for row in result.rows})
    return lines(("wrote", result.html), ("models", ", ".join(models)), ("rows", len(result.rows)))
