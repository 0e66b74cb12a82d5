"""What each command returns: the object that `--json` prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convnext_edge.artifact import Calibration


@dataclass(frozen=True)
class Result:
    """Base of all results."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`; paths as strings."""
        return {key: _plain(value) for key, value in asdict(self).items()}


def _plain(value: Any) -> Any:
    match value:
        case Path():
            return str(value)
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return value


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


@dataclass(frozen=True)
class Build(Result):
    """bytes: of all files. files: the engine's name and those of its companions. notes: what the target has
    to say of the engine, as what about it is unverified.
    """

    engine: Path
    target: str
    bytes: int
    runtime: str
    runtime_version: str
    seconds: float
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuildScript(Result):
    """A folder that builds an engine on another machine. build_command: to run there, in the folder."""

    directory: Path
    files: tuple[str, ...]
    build_command: str


@dataclass(frozen=True)
class Embed(Result):
    """A folder for an application. files: below it. build_command: to run in the folder."""

    directory: Path
    files: tuple[str, ...]
    build_command: str


@dataclass(frozen=True)
class Validate(Result):
    """Fractions of the images; drops in percentage points, positive where the candidate is worse.

    Top-1 and top-5 and what follows from them are None where the images have no labels.
    drop_ci95_points: paired 95 % interval of the drop. sqnr_db: of the logits, None where they are
    identical. overlap: images that were in the calibration set too. label: where it was simulated, why.
    """

    artifact: Path
    target: str
    data: str
    images: int
    reference_top1: float | None
    candidate_top1: float | None
    reference_top5: float | None
    candidate_top5: float | None
    drop_points: float | None
    drop_ci95_points: tuple[float, float] | None
    agreement: float
    agreement_ci95: tuple[float, float]
    sqnr_db: float | None
    overlap: int
    skipped_images: tuple[str, ...]
    simulated: bool
    passed: bool
    label: str = ""


@dataclass(frozen=True)
class Milliseconds(Result):
    """Percentiles of single calls, in milliseconds of wall time."""

    p50: float
    p90: float
    p99: float
    min: float


@dataclass(frozen=True)
class Benchmark(Result):
    """Reference (FP32 PyTorch) and candidate, interleaved in one run.

    speedup: ratio of the medians. throughput_ips: images a second of the candidate. peak_rss_bytes:
    of a process that does nothing but run the candidate. fp16_ms: an INT8 candidate's rival on a GPU, an
    FP16 engine of the same runtime; advice: then "ship INT8" or "ship FP16".
    """

    artifact: Path
    target: str
    runtime_version: str
    batch: int
    threads: int
    runs: int
    cpu: str
    isa: tuple[str, ...]
    candidate_ms: Milliseconds
    reference_ms: Milliseconds
    speedup: float
    throughput_ips: float
    peak_rss_bytes: int | None
    passed: bool
    fp16_ms: Milliseconds | None = None
    advice: str | None = None


@dataclass(frozen=True)
class Refusal(Result):
    """A method that a target refuses, and why."""

    method: str
    target: str
    reason: str


@dataclass(frozen=True)
class Compare(Result):
    """rows: the keys of `Validate` and `Benchmark` together (None where nothing was measured), and `method`,
    `target`, `model`, `file`, `sha256`, `bytes`, `precision`, and `changes` of the target's recipe.
    """

    rows: tuple[dict[str, Any], ...]
    refused: tuple[Refusal, ...]
    seconds: float


@dataclass(frozen=True)
class Report(Result):
    """html: one file without anything outside it. rows: as of `Compare`."""

    html: Path
    rows: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class VariantRow(Result):
    """macs: multiply-adds for one image at `resolution`; published_top1: a fraction, or None."""

    name: str
    generation: str
    depths: tuple[int, ...]
    dims: tuple[int, ...]
    params: int
    macs: int
    resolution: int
    classes: int
    published_top1: float | None
    license: str
    source: str


@dataclass(frozen=True)
class Variants(Result):
    variants: tuple[VariantRow, ...]


@dataclass(frozen=True)
class CpuRow(Result):
    """int8_saturates: without VNNI, where INT8 kernels add pairs in 16 bits."""

    name: str
    isa: tuple[str, ...]
    int8_saturates: bool


@dataclass(frozen=True)
class TargetRow(Result):
    """version: of the runtime, None where it is missing; remedy: what to do then."""

    name: str
    can_build: bool
    can_run: bool
    version: str | None
    remedy: str


@dataclass(frozen=True)
class Doctor(Result):
    cpu: CpuRow
    gpus: tuple[str, ...]
    targets: tuple[TargetRow, ...]


@dataclass(frozen=True)
class DemoRow(Result):
    """One target of the demo: an INT8 engine against the FP32 PyTorch reference."""

    target: str
    engine: Path
    bytes: int
    candidate_top1: float
    agreement: float
    sqnr_db: float
    speedup: float
    passed: bool


@dataclass(frozen=True)
class Demo(Result):
    """The default target's figures, and those of every target in `rows`."""

    reference_top1: float
    candidate_top1: float
    agreement: float
    sqnr_db: float
    speedup: float
    engine: Path
    images: int
    seconds: float
    passed: bool
    rows: tuple[DemoRow, ...]
