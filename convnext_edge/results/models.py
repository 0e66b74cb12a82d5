"""Results of the commands that make or look into ONNX models: export, quantize, finetune, sensitivity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from convnext_edge.artifacts.artifact import Calibration
from convnext_edge.results.base import Result


@dataclass(frozen=True)
class Export(Result):
    """parity_max_abs_diff: largest difference of a logit, ONNX Runtime against PyTorch on one input."""

    artifact: Path
    weights: Path
    variant: str | None
    params: int
    macs: int
    resolution: int
    classes: int
    parity_max_abs_diff: float


@dataclass(frozen=True)
class Quantize(Result):
    """seconds: from reading the weights to the written file; bytes: of that file.

    Of --max-drop: kept_float or sixteen_bit, the layers that it took out of INT8, costliest first;
    drop_points, what is lost then, of max_drop points that may be; slowdown, against all layers in INT8
    (ratio of latencies); None where it was not asked for.

    Of the timing on the target, one image on one thread, None where the target was not timed:
    speedup_over_fp32, against its own FP32, with the 95 % interval; speedup, against FP32 PyTorch; advice,
    "ship INT8", "ship FP32", or what lies between. passed: of both gates.
    """

    artifact: Path
    target: str
    method: str
    calibration: Calibration
    quantized_layers: tuple[str, ...]
    float_layers: tuple[str, ...]
    seconds: float
    bytes: int
    skipped_images: tuple[str, ...] = ()
    kept_float: tuple[str, ...] = ()
    sixteen_bit: tuple[str, ...] = ()
    drop_points: float | None = None
    max_drop: float | None = None
    slowdown: float | None = None
    speedup_over_fp32: float | None = None
    speedup_over_fp32_ci95: tuple[float, float] | None = None
    speedup: float | None = None
    advice: str | None = None
    passed: bool = True


@dataclass(frozen=True)
class Finetune(Quantize):
    """epochs: how often each training image was seen. data: what the figures were measured on.

    top1, agreement: fractions, of the FP32 reference, and of the quantized model before the first step
    and after the last; top-1 is None where the images have no labels.
    """

    epochs: float = 0.0
    steps: int = 0
    activation: str = "gelu"
    data: str = ""
    images: int = 0
    reference_top1: float | None = None
    start_top1: float | None = None
    final_top1: float | None = None
    start_agreement: float = 0.0
    final_agreement: float = 0.0


@dataclass(frozen=True)
class LayerRow(Result):
    """One layer quantized alone. sqnr_db: of the logits, None where they do not change. kl: mean divergence
    from the FP32 answers in nats. latency_saved_ms: FP32 minus INT8, None where the runtime does not tell.
    """

    name: str
    sqnr_db: float | None
    kl: float
    latency_saved_ms: float | None


@dataclass(frozen=True)
class Sensitivity(Result):
    """layers: worst first."""

    target: str
    calibration: str
    images: int
    layers: tuple[LayerRow, ...]
    seconds: float
