"""Summaries of variants, doctor and demo."""

from __future__ import annotations

from convnext_edge.cli.summaries.base import summary
from convnext_edge.cli.text import MIB, fold, lines, table
from convnext_edge.results import Demo, Doctor, Variants


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
                ("CPU", cpu.name),
                ("", " ".join(cpu.isa)),
                ("", saturates),
                ("GPUs", ", ".join(result.gpus) or "none"),
            ),
            "",
            table([header, *rows]),
            *(fold(f"{t.name}: {t.remedy}") for t in result.targets if t.remedy),
        ]
    )


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
