"""The published Mask R-CNNs and Cascade Mask R-CNNs by name: trained on COCO, by the authors of ConvNeXt.

Sources: object_detection/README.md of github.com/facebookresearch/ConvNeXt, whose table names the files; and
its configs/_base_/models for what tensors do not show. License of the repository.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.sizes import SIZES
from convnext_edge.detection import Cascade, Detection
from convnext_edge.images.preprocessing import IMAGENET_MEAN, Preprocessing

LICENSE = "mit"
RELEASES = "https://dl.fbaipublicfiles.com/convnext/coco"  # folder of the files
OF_COCO = 80  # classes
PYRAMID, BOX_UNITS, MASK_WIDTH = 256, 1024, 256
COUNTED = (800, 1280)  # rows and columns of the images that the authors count multiply-adds for
# Rows, and columns: both libraries make shorter edges 800 pixels and longer ones 1,333 at most, up to the
# next 32. One input has the largest of them.
ROWS, COLUMNS = 800, 1344


@dataclass(frozen=True)
class Training:
    """What a training determines beside the size."""

    size: str  # of the ConvNeXt
    file: str  # of the release
    box_ap: float  # a fraction, of COCO's validation set, as the authors tell it
    mask_ap: float  # likewise
    macs: float  # multiply-adds by the authors' count, for an image of COUNTED

    @property
    def cascaded(self) -> bool:
        """Whether it has a cascade of heads."""
        return self.file.startswith("cascade")


def _cascade(size: str, of: str, box_ap: float, mask_ap: float, macs: float) -> Training:
    return Training(size, f"cascade_mask_rcnn_convnext_{size}_{of}_3x.pth", box_ap, mask_ap, macs)


DETECTORS = {
    "mask_rcnn_tiny": Training("tiny", "mask_rcnn_convnext_tiny_1k_3x.pth", 0.462, 0.417, 262e9),
    "cascade_mask_rcnn_tiny": _cascade("tiny", "1k", 0.504, 0.437, 741e9),
    "cascade_mask_rcnn_small": _cascade("small", "1k", 0.519, 0.450, 827e9),
    "cascade_mask_rcnn_base": _cascade("base", "1k", 0.527, 0.456, 964e9),
    "cascade_mask_rcnn_base.fb_in22k": _cascade("base", "22k", 0.540, 0.469, 964e9),
    "cascade_mask_rcnn_large": _cascade("large", "22k", 0.548, 0.476, 1354e9),
    "cascade_mask_rcnn_xlarge": _cascade("xlarge", "22k", 0.552, 0.477, 1898e9),
}


def detector(name: str) -> Architecture:
    """Return the architecture of a published detector."""
    training = DETECTORS[name]
    stages = tuple(range(len(SIZES[training.size].dims)))
    maps = replace(SIZES[training.size], classes=OF_COCO, last_norm=False, pooled=False)
    return replace(
        maps,
        maps=stages,
        map_norms=stages,
        decoder="mask_rcnn",
        decoder_width=PYRAMID,
        box_width=BOX_UNITS,
        mask_width=MASK_WIDTH,
        cascade=Cascade(convs=4, linears=1, agnostic=False) if training.cascaded else None,
        detection=Detection("mmdetection"),
    )


def prepared() -> Preprocessing:
    """Return how both libraries prepare the images of detectors, in an input that has the largest of them.

    The colour of the padding is the mean, as they add zeros to normalized images.
    """
    mean = tuple(round(255 * value) for value in IMAGENET_MEAN)
    return Preprocessing(ROWS, 1.0, "bilinear", width=COLUMNS, resize_mode="corner", pad_color=mean)


def release(name: str) -> str:
    """Return the address of a published detector's file."""
    return f"{RELEASES}/{DETECTORS[name].file}"


def of_file(name: str) -> str | None:
    """Return our name of a released file, with or without its ending; None for another name."""
    return next((ours for ours, found in DETECTORS.items() if name in (found.file, found.file[:-4])), None)
