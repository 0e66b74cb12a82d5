"""The layers of the heads of Mask R-CNN and Cascade Mask R-CNN, and how they find objects; needs no PyTorch.

"Mask R-CNN" (He et al., 2017, arXiv:1703.06870) with a feature pyramid ("Feature Pyramid Networks", Lin et
al., 2017, arXiv:1612.03144), as torchvision's MaskRCNN and mmdetection's MaskRCNN with StandardRoIHead have
them; "Cascade R-CNN" (Cai and Vasconcelos, 2019, arXiv:1906.09756) as mmdetection's CascadeRoIHead has it.
`network.mask_rcnn` is the module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

Library = Literal["torchvision", "mmdetection"]
Place = Literal["stage", "levels", "pieces", "boxes", "masks", "fine masks"]  # where a layer runs
LEVELS = 5  # of the pyramid: a map for each of four stages, and one of half the last one's size
ANCHORS = 3  # at each place of a level, of these shapes
RATIOS = (0.5, 1.0, 2.0)  # height to width
BOX_EDGE, MASK_EDGE = 7, 14  # of what is cut out of a map for each box
BOX = 4  # numbers of a box
MASK_CONVS = 4  # of a mask head
# What an offset of each head of a cascade is multiplied by, for the centre and for the edges: the target_stds
# of the authors' configurations, and of mmdetection's. A Mask R-CNN has the first.
OFFSETS = ((0.1, 0.2), (0.05, 0.1), (0.033, 0.067))
CASCADED = len(OFFSETS)  # heads of boxes in a cascade, and as many of masks
MOST_BOXES = 2**20  # that can be asked for; an image of 1344x800 pixels has 268,569 anchors


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


@dataclass(frozen=True)
class Cascade:
    """The heads of a cascade, each of which looks at what the one before it made of its boxes.

    There are three of boxes, and three of masks, of which those of a kind are alike.
    """

    convs: int  # of a head of boxes, each with BatchNorm and ReLU, before its linear layers
    linears: int  # of a head of boxes, before the two that answer; 1 or 2
    agnostic: bool  # whether it tells one box for all classes, and not one for each


class HeadLayer(NamedTuple):
    """A convolution or a linear layer of the detector; all have a bias, or BatchNorm and ReLU behind them."""

    name: str
    weight: tuple[int, ...]
    dim: int  # channels that it gives
    place: Place
    stage: int = 0  # whose map it takes, where `place` is a stage
    norm: bool = False  # whether it is a convolution with BatchNorm and ReLU


@dataclass(frozen=True)
class Widths:
    """Channels and units of a detector's layers."""

    pyramid: int  # channels
    box: int  # units of a box head
    mask: int  # channels of a mask head


def detector_layers(
    dims: tuple[int, ...], widths: Widths, classes: int, detection: Detection, cascade: Cascade | None
) -> Iterator[HeadLayer]:
    """Yield the layers in the order in which they run.

    dims: channels of each map. classes: labels that the boxes may have.
    """
    width, rows = widths.pyramid, detection.rows(classes)
    for stage, dim in enumerate(dims):
        yield HeadLayer(f"laterals.{stage}", (width, dim, 1, 1), width, "stage", stage)
    for stage in range(len(dims)):
        yield HeadLayer(f"fpn.{stage}", (width, width, 3, 3), width, "stage", stage)
    yield HeadLayer("rpn.conv", (width, width, 3, 3), width, "levels")
    yield HeadLayer("rpn.objectness", (ANCHORS, width, 1, 1), ANCHORS, "levels")
    yield HeadLayer("rpn.deltas", (ANCHORS * BOX, width, 1, 1), ANCHORS * BOX, "levels")
    if cascade is None:
        yield from box_layers("box", widths, rows, classes, convs=0, linears=2)
        yield from mask_layers("mask", widths, classes)
        return
    boxes = 1 if cascade.agnostic else classes
    for head in range(CASCADED):
        yield from box_layers(
            f"box.{head}", widths, rows, boxes, convs=cascade.convs, linears=cascade.linears
        )
    for head in range(CASCADED):
        yield from mask_layers(f"mask.{head}", widths, classes)


def box_layers(
    name: str, widths: Widths, rows: int, boxes: int, *, convs: int, linears: int
) -> Iterator[HeadLayer]:
    """Yield the layers of a box head of that name.

    rows: classes that it tells apart. boxes: that it tells of each piece.
    """
    width, wide = widths.pyramid, widths.box
    for number in range(convs):
        yield HeadLayer(f"{name}.convs.{number}", (width, width, 3, 3), width, "pieces", norm=True)
    for number in range(linears):
        before = wide if number else width * BOX_EDGE**2
        yield HeadLayer(f"{name}.fc{number + 1}", (wide, before), wide, "boxes")
    yield HeadLayer(f"{name}.classes", (rows, wide), rows, "boxes")
    yield HeadLayer(f"{name}.deltas", (BOX * boxes, wide), BOX * boxes, "boxes")


def mask_layers(name: str, widths: Widths, classes: int) -> Iterator[HeadLayer]:
    """Yield the layers of a mask head of that name."""
    dim = widths.mask
    for number in range(MASK_CONVS):
        before = dim if number else widths.pyramid
        yield HeadLayer(f"{name}.convs.{number}", (dim, before, 3, 3), dim, "masks")
    yield HeadLayer(f"{name}.upsample", (dim, dim, 2, 2), dim, "masks")
    yield HeadLayer(f"{name}.classes", (classes, dim, 1, 1), classes, "fine masks")


def positions(layer: HeadLayer, sizes: list[tuple[int, int]], detection: Detection) -> int:
    """Return how often an image of given map sizes is multiplied by the weight of a layer."""
    last = sizes[-1]
    levels = [*sizes, ((last[0] + 1) // 2, (last[1] + 1) // 2)]
    match layer.place:
        case "stage":
            return sizes[layer.stage][0] * sizes[layer.stage][1]
        case "levels":
            return sum(rows * columns for rows, columns in levels)
        case "pieces":
            return detection.proposals * BOX_EDGE**2
        case "boxes":
            return detection.proposals
        case "masks":
            return detection.detections * MASK_EDGE**2
    return detection.detections * (2 * MASK_EDGE) ** 2
