"""What a person reads of a result, within 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import singledispatch
from pathlib import Path
from textwrap import wrap
from typing import Any

from convnext_edge.results import (
    Benchmark,
    Build,
    BuildScript,
    Compare,
    Demo,
    Doctor,
    Embed,
    Export,
    Finetune,
    Milliseconds,
    Quantize,
    Report,
    Result,
    Sensitivity,
    Validate,
    Variants,
)

MIB = 2**20
WIDTH = 80  # columns


@singledispatch
def summary(result: Result) -> str:
    """A short text for a terminal; `to_json` has all."""
    return "\n".join(f"{key}: {value}" for key, value in result.to_json().items())


@summary.register
def _(result: Export) -> str:
    return lines(
        ("wrote", result.artifact),
        ("weights", result.weights),
        ("model", f"{result.variant or 'no named variant'}, {result.classes} classes"),
        ("size", f"{result.params / 1e6:.1f} M parameters, {result.macs / 1e9:.2f} G multiply-adds"),
        ("input", f"{result.resolution} x {result.resolution} pixels"),
        ("parity", f"{result.parity_max_abs_diff:.1e} largest difference of a logit to PyTorch"),
    )


@summary.register
def _(result: Quantize) -> str:
    return lines(
        ("wrote", result.artifact),
        ("for", f"{result.target}, method {result.method}"),
        (
            "images",
            f"{result.calibration.images} of {result.calibration.name}" + skipped(result.skipped_images),
        ),
        ("INT8", f"{len(result.quantized_layers)} layers; {len(result.float_layers)} stay float"),
        ("size", f"{result.bytes / MIB:.1f} MiB in {result.seconds:.1f} s"),
        *drop(result),
        *speed(result),
        ("gates", "passed" if result.passed else "NOT met"),
    )


def drop(result: Quantize) -> list[tuple[str, object]]:
    """What --max-drop did, where it was asked for."""
    if result.drop_points is None:
        return []
    kept = [("kept float", name) for name in result.kept_float]
    kept += [("16-bit", f"activations of {name}") for name in result.sixteen_bit]
    slower = [("price", f"{result.slowdown:.2f}x the latency of all in INT8")] if result.slowdown else []
    return [*kept, *slower, ("drop", f"{result.drop_points:+.2f} points, {result.max_drop:g} allowed")]


def speed(result: Quantize) -> list[tuple[str, object]]:
    """How INT8 does against FP32, where it was timed."""
    if result.speedup_over_fp32_ci95 is None:
        return [("speed", "not timed")]
    low, high = result.speedup_over_fp32_ci95
    return [
        ("speed", f"{result.speedup_over_fp32:.2f}x FP32 on {result.target} (95 %: {low:.2f} to {high:.2f})"),
        ("", f"{result.speedup:.2f}x FP32 PyTorch; one image, one thread"),
        ("advice", str(result.advice)),
    ]


@summary.register
def _(result: Finetune) -> str:
    return lines(
        ("wrote", result.artifact),
        ("for", f"{result.target}, {len(result.quantized_layers)} layers INT8, {result.activation}"),
        ("trained", f"{result.steps} steps, {result.epochs:.3g} epochs" + skipped(result.skipped_images)),
        ("measured", f"on {result.images} images of {result.data}"),
        ("reference", accuracy_of(result.reference_top1)),
        ("start", accuracy_of(result.start_top1, result.start_agreement)),
        ("final", accuracy_of(result.final_top1, result.final_agreement)),
        ("size", f"{result.bytes / MIB:.1f} MiB in {result.seconds:.1f} s"),
    )


def accuracy_of(top1: float | None, agreement: float | None = None) -> str:
    said = "top-1 unknown, no labels" if top1 is None else f"top-1 {top1:.2%}"
    return said if agreement is None else f"{said}, {agreement:.2%} agreement with the reference"


@summary.register
def _(result: Sensitivity) -> str:
    header = ("layer alone in INT8, worst first", "SQNR", "KL (nats)", "saves")
    rows = [
        (
            row.name,
            "same" if row.sqnr_db is None else f"{row.sqnr_db:.1f} dB",
            f"{row.kl:.1e}",
            "unknown" if row.latency_saved_ms is None else f"{row.latency_saved_ms:.3f} ms",
        )
        for row in result.layers
    ]
    return (
        table([header, *rows])
        + f"\n{result.images} images of {result.calibration} for {result.target} in {result.seconds:.0f} s"
    )


@summary.register
def _(result: Build) -> str:
    written = lines(
        ("wrote", result.engine),
        *(("beside it", name) for name in result.files if name != result.engine.name),
        ("runtime", f"{result.runtime} {result.runtime_version}"),
        ("size", f"{result.bytes / MIB:.1f} MiB in {result.seconds:.1f} s"),
    )
    return "\n".join([written, *map(fold, result.notes)])


@summary.register
def _(result: BuildScript) -> str:
    return lines(
        ("wrote", result.directory), ("files", " ".join(result.files)), ("run there", result.build_command)
    )


@summary.register
def _(result: Embed) -> str:
    return lines(
        ("wrote", result.directory),
        ("files", f"{len(result.files)}, README.md among them"),
        ("run there", result.build_command),
    )


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


def skipped(names: Sequence[str]) -> str:
    return f", {len(names)} broken ones skipped: {', '.join(names[:3])}" if names else ""


def seen(count: int) -> str:
    return f", {count} of them calibrated with" if count else ""


@summary.register
def _(result: Benchmark) -> str:
    memory = "unknown" if result.peak_rss_bytes is None else f"{result.peak_rss_bytes / MIB:.0f} MiB"
    return lines(
        ("candidate", f"{result.artifact} on {result.target} {result.runtime_version}"),
        ("CPU", f"{result.cpu} ({' '.join(result.isa)})"),
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
def _(result: Demo) -> str:
    header = ("target", "top-1", "agreement", "SQNR", "speedup", "engine")
    reference = ("PyTorch FP32", f"{result.reference_top1:.1%}", "", "", "1.0x", "")
    rows = [
        (
            f"{row.target} INT8",
            f"{row.candidate_top1:.1%}",
            f"{row.agreement:.1%}",
            f"{row.sqnr_db:.1f} dB",
            f"{row.speedup:.1f}x",
            f"{row.bytes / MIB:.1f} MiB",
        )
        for row in result.rows
    ]
    verdict = "passed" if result.passed else "NOT passed"
    return (
        table([header, reference, *rows])
        + f"\n{result.images} test images, one thread, {result.seconds:.0f} s: {verdict}"
        + f"\nengine: {result.engine}"
    )


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


@summary.register
def _(result: Variants) -> str:
    header = ("name", "params", "MACs", "px", "class", "top-1", "license")
    rows = [
        (
            row.name,
            three_digits(row.params / 1e6) + "M",
            three_digits(row.macs / 1e9) + "G",
            str(row.resolution),
            str(row.classes),
            "" if row.published_top1 is None else f"{row.published_top1:.1%}",
            row.license,
        )
        for row in result.variants
    ]
    return table([header, *rows])


def three_digits(value: float) -> str:
    return f"{value:.3g}" if value >= 1 else f"{value:.2f}"


@summary.register
def _(result: Doctor) -> str:
    cpu = result.cpu
    saturates = (
        "INT8 kernels can saturate (no VNNI)" if cpu.int8_saturates else "INT8 kernels do not saturate"
    )
    header = ("target", "builds", "runs", "version")
    rows = [
        (t.name, "yes" if t.can_build else "no", "yes" if t.can_run else "no", t.version or "")
        for t in result.targets
    ]
    return "\n".join(
        [
            lines(
                ("CPU", f"{cpu.name} ({' '.join(cpu.isa)})"),
                ("", saturates),
                ("GPUs", ", ".join(result.gpus) or "none"),
            ),
            "",
            table([header, *rows]),
            *(fold(f"{t.name}: {t.remedy}") for t in result.targets if t.remedy),
        ]
    )


def lines(*rows: tuple[str, object]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def fold(text: str) -> str:
    """The text with its long lines broken between words."""
    folded = [wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False) for line in text.splitlines()]
    return "\n".join("\n".join(lines) for lines in folded)


def table(rows: Iterable[Sequence[str]]) -> str:
    cells = list(rows)
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells
    )
