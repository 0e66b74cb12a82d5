"""The published UPerNets by the size of their ConvNeXt: trained on ADE20K, for windows that slide.

Sources: mIoU of one scale from configs/convnext/README.md of mmsegmentation, whose weights they are;
transformers' convert_convnext_upernet_to_pytorch.py names the file of each. Its processors squash any image
to 512 pixels and say nothing of ADE20K's label maps: windows and label maps are those of the configurations.
License from the model cards under huggingface.co/openmmlab.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.sizes import SIZES
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.upernet import USUAL_BINS

LICENSE = "mit"
OF_ADE20K = 150  # classes
WIDTH = 512  # channels of the decoder


@dataclass(frozen=True)
class Training:
    """What a training determines beside the size."""

    resolution: int  # edge of a window, in pixels
    miou: float  # a fraction, of ADE20K's validation set at one scale


UPERNETS = {
    "tiny": Training(512, 0.4611),
    "small": Training(512, 0.4856),
    "base": Training(512, 0.4871),
    "large": Training(640, 0.5316),
    "xlarge": Training(640, 0.5358),
}


def upernet(size: str, classes: int = OF_ADE20K) -> Architecture:
    """Return the architecture of a UPerNet on a ConvNeXt of a size."""
    backbone = SIZES[size]
    stages = tuple(range(len(backbone.dims)))
    maps = replace(backbone, classes=classes, last_norm=False, pooled=False, maps=stages, map_norms=stages)
    return replace(maps, decoder="upernet", decoder_width=WIDTH, pool_bins=USUAL_BINS)


def prepared(size: str) -> Preprocessing:
    """Return how images come to one window: whole and squashed, as transformers has it."""
    return Preprocessing(
        resolution=UPERNETS[size].resolution,
        crop=1.0,
        interpolation="bilinear",
        resize_mode="squash",
        crop_rounding="floor",
        exif=True,
        label_zero="none",
    )


def repository(size: str) -> str:
    """Return where the weights are on the hub."""
    return f"openmmlab/upernet-convnext-{size}"
