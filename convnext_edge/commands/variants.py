"""The command `variants`: the table of published models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convnext_edge.checkpoints import variants as published
from convnext_edge.checkpoints.detectors import COUNTED, DETECTORS
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


OF_OTHERS = (
    "of upernet_*, mIoU on ADE20K (--sliding-window) stands in place of top-1; of *mask_rcnn_*,"
    f" the AP of boxes on COCO, and MACs are those of {COUNTED[0]}x{COUNTED[1]} pixels"
)


@dataclass(frozen=True)
class VariantRow(Result):
    """A published set of weights."""

    name: str
    generation: str
    depths: tuple[int, ...]
    dims: tuple[int, ...]
    params: int
    macs: int  # multiply-adds for one image of `resolution` rows and `width` columns
    resolution: int
    classes: int
    published_top1: float | None  # a fraction; None where none is published
    license: str
    source: str
    task: Task = "classify"
    published_miou: float | None = None  # of a segmenter: a fraction, on ADE20K, by --sliding-window
    published_box_ap: float | None = None  # of a detector: a fraction, on COCO
    published_mask_ap: float | None = None  # likewise
    published_macs: float | None = None  # of a detector: by its authors' count
    width: int | None = None  # None: as `resolution`

    @property
    def accuracy(self) -> str:
        """The published top-1, mIoU or AP in words; empty where none is published."""
        told = (self.published_top1, self.published_miou, self.published_box_ap)
        return next((f"{found:.1%}" for found in told if found is not None), "")


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
                f"{row.resolution}",
                row.accuracy,
                SHORT.get(row.license, row.license),
            )
            for row in self.variants
        ]
        meanings = ", ".join(f"{short} is {license}" for license, short in SHORT.items())
        return table([header, *rows]) + f"\n{fold(meanings)}\n{fold(OF_OTHERS)}"


@command(example="convnext-edge variants")
def variants() -> Variants:
    """List the named models: size, published accuracy, license."""
    return Variants(tuple(_row(variant) for variant in published.variants()))


def _row(variant: published.Variant) -> VariantRow:
    architecture = variant.architecture
    training = DETECTORS.get(variant.name)
    rows, columns = variant.preprocessing.size if training is None else COUNTED
    return VariantRow(
        name=variant.name,
        generation=variant.generation,
        depths=architecture.depths,
        dims=architecture.dims,
        params=architecture.params,
        macs=architecture.macs(rows, columns),
        resolution=rows,
        width=None if columns == rows else columns,
        classes=variant.classes,
        published_top1=variant.published_top1,
        license=variant.license,
        source=variant.source,
        task=variant.task,
        published_miou=variant.published_miou,
        published_box_ap=variant.published_box_ap,
        published_mask_ap=variant.published_mask_ap,
        published_macs=None if training is None else training.macs,
    )


def three_digits(value: float) -> str:
    """Return a number as people read it: 1354, 197, 28.6, 0.55."""
    if value >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}" if value >= 1 else f"{value:.2f}"
