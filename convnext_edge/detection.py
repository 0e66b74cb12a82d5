"""The layers of Mask R-CNN's heads, and how they find objects; needs no PyTorch.

"Mask R-CNN" (He et al., 2017, arXiv:1703.06870) with a feature pyramid ("Feature Pyramid Networks", Lin et
al., 2017, arXiv:1612.03144), as torchvision's MaskRCNN and mmdetection's MaskRCNN with StandardRoIHead have
them. `network.mask_rcnn` is the module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

Library = Literal["torchvision", "mmdetection"]
Place = Literal["stage", "levels", "boxes", "masks", "fine masks"]  # where a layer runs
LEVELS = 5  # of the pyramid: a map for each of four stages, and one of half the last one's size
ANCHORS = 3  # at each place of a level, of these shapes
RATIOS = (0.5, 1.0, 2.0)  # height to width
BOX_EDGE, MASK_EDGE = 7, 14  # of what is cut out of a map for each box
BOX = 4  # numbers of a box


@dataclass(frozen=True)
class Detection:
    """How a Mask R-CNN finds objects, which no tensor shows; the defaults are those of both libraries."""

    library: Library  # whose way of counting classes, cutting out of maps and placing anchors it has
    candidates: int = 1000  # of each level, that overlaps are looked for among
    proposals: int = 1000  # boxes of an image that the heads look at
    proposal_overlap: float = 0.7  # IoU over which the better of two proposals is kept alone
    overlap: float = 0.5  # IoU over which the better of two boxes of one class is kept alone
    score: float = 0.05  # that a detection has more than
    detections: int = 100  # of an image, at most

    @property
    def background_first(self) -> bool:
        """Whether class 0 is the background; in mmdetection it is behind all classes, and no label."""
        return self.library == "torchvision"

    def rows(self, classes: int) -> int:
        """Return how many classes the box head tells apart, the background among them."""
        return classes if self.background_first else classes + 1


class HeadLayer(NamedTuple):
    """A convolution or a linear layer of the detector; all have a bias."""

    name: str
    weight: tuple[int, ...]
    dim: int  # channels that it gives
    place: Place
    stage: int = 0  # whose map it takes, where `place` is a stage


def detector_layers(
    dims: tuple[int, ...], width: int, wide: int, mask_width: int, classes: int, detection: Detection
) -> Iterator[HeadLayer]:
    """Yield the layers in the order in which they run.

    dims: channels of each map. width: channels of the pyramid. wide: units of the box head. mask_width:
    channels of the mask head. classes: labels that the boxes may have.
    """
    for stage, dim in enumerate(dims):
        yield HeadLayer(f"laterals.{stage}", (width, dim, 1, 1), width, "stage", stage)
    for stage in range(len(dims)):
        yield HeadLayer(f"fpn.{stage}", (width, width, 3, 3), width, "stage", stage)
    yield HeadLayer("rpn.conv", (width, width, 3, 3), width, "levels")
    yield HeadLayer("rpn.objectness", (ANCHORS, width, 1, 1), ANCHORS, "levels")
    yield HeadLayer("rpn.deltas", (ANCHORS * BOX, width, 1, 1), ANCHORS * BOX, "levels")
    yield HeadLayer("box.fc1", (wide, width * BOX_EDGE**2), wide, "boxes")
    yield HeadLayer("box.fc2", (wide, wide), wide, "boxes")
    rows = detection.rows(classes)
    yield HeadLayer("box.classes", (rows, wide), rows, "boxes")
    yield HeadLayer("box.deltas", (BOX * classes, wide), BOX * classes, "boxes")
    for number in range(4):
        before = mask_width if number else width
        yield HeadLayer(f"mask.convs.{number}", (mask_width, before, 3, 3), mask_width, "masks")
    yield HeadLayer("mask.upsample", (mask_width, mask_width, 2, 2), mask_width, "masks")
    yield HeadLayer("mask.classes", (classes, mask_width, 1, 1), classes, "fine masks")


def positions(layer: HeadLayer, sizes: list[tuple[int, int]], detection: Detection) -> int:
    """Return how often an image of given map sizes is multiplied by the weight of a layer."""
    last = sizes[-1]
    levels = [*sizes, ((last[0] + 1) // 2, (last[1] + 1) // 2)]
    match layer.place:
        case "stage":
            return sizes[layer.stage][0] * sizes[layer.stage][1]
        case "levels":
            return sum(rows * columns for rows, columns in levels)
        case "boxes":
            return detection.proposals
        case "masks":
            return detection.detections * MASK_EDGE**2
    return detection.detections * (2 * MASK_EDGE) ** 2
