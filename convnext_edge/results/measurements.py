"""Results of the commands that measure: validate, benchmark, compare, and report, which shows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convnext_edge.results.base import Result


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
