"""Results of the commands to start with: variants, doctor, demo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from convnext_edge.results.base import Result


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
