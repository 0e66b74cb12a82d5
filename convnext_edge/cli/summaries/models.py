"""Summaries of export, quantize, finetune and sensitivity."""

from __future__ import annotations

from convnext_edge.cli.summaries.base import summary
from convnext_edge.cli.text import MIB, lines, skipped, table
from convnext_edge.results import Export, Finetune, Quantize, Sensitivity


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
