"""The command `variants`: the table of published models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convnext_edge.checkpoints import variants as published
from convnext_edge.commands.declaration import command
from convnext_edge.commands.result import Result
from convnext_edge.commands.text import fold, table
from convnext_edge.tasks import Task

# Licenses as the table names them, beside names of models that leave little room.
SHORT = {
    "apache-2.0": "apache",
    "cc-by-nc-4.0": "by-nc",
    "dinov3-license": "dinov3",
    "fair-noncommercial-research-license": "fair",
}


OF_SEGMENTERS = "of upernet_*, mIoU on ADE20K (--sliding-window) stands in place of top-1"


@dataclass(frozen=True)
class VariantRow(Result):
    """A published set of weights."""

    name: str
    generation: str
    depths: tuple[int, ...]
    dims: tuple[int, ...]
    params: int
    macs: int  # multiply-adds for one image at `resolution`
    resolution: int
    classes: int
    published_top1: float | None  # a fraction; None where none is published
    license: str
    source: str
    task: Task = "classify"
    published_miou: float | None = None  # of a segmenter: a fraction, on ADE20K, by --sliding-window

    @property
    def accuracy(self) -> str:
        """The published top-1 or mIoU in words; empty where none is published."""
        found = self.published_top1 if self.published_miou is None else self.published_miou
        return "" if found is None else f"{found:.1%}"


@dataclass(frozen=True)
class Variants(Result):
    """All named models."""

    variants: tuple[VariantRow, ...]

    def table_rows(self) -> list[dict[str, Any]]:
        """Return a row for each variant."""
        return [row.to_json() for row in self.variants]

    def summary(self) -> str:
        """Return a table with a line for each."""
        header = ("name", "params", "MACs", "px", "top-1", "terms")
        rows = [
            (
                row.name,
                three_digits(row.params / 1e6) + "M",
                three_digits(row.macs / 1e9) + "G",
                str(row.resolution),
                row.accuracy,
                SHORT.get(row.license, row.license),
            )
            for row in self.variants
        ]
        meanings = ", ".join(f"{short} is {license}" for license, short in SHORT.items())
        return table([header, *rows]) + f"\n{fold(meanings)}\n{OF_SEGMENTERS}"


@command(example="convnext-edge variants")
def variants() -> Variants:
    """List the named models: size, published accuracy, license."""
    return Variants(tuple(_row(variant) for variant in published.variants()))


def _row(variant: published.Variant) -> VariantRow:
    architecture = variant.architecture
    return VariantRow(
        name=variant.name,
        generation=variant.generation,
        depths=architecture.depths,
        dims=architecture.dims,
        params=architecture.params,
        macs=architecture.macs(variant.resolution),
        resolution=variant.resolution,
        classes=variant.classes,
        published_top1=variant.published_top1,
        license=variant.license,
        source=variant.source,
        task=variant.task,
        published_miou=variant.published_miou,
    )


def three_digits(value: float) -> str:
    """Return a number as people read it: 28.6, 197, 0.55."""
    return f"{value:.3g}" if value >= 1 else f"{value:.2f}"
