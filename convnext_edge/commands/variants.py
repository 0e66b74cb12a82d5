"""variants: the table of published models."""

from __future__ import annotations

from convnext_edge.checkpoints import variants as table
from convnext_edge.results import VariantRow, Variants


def variants() -> Variants:
    """Every variant by name, with its size, published accuracy and the license of its weights."""
    return Variants(tuple(_row(variant) for variant in table.variants()))


def _row(variant: table.Variant) -> VariantRow:
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
    )
