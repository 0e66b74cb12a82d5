"""What is computed between the two engines of a detector, in words for who writes it for a device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from convnext_edge.architecture import Architecture
from convnext_edge.detection import ANCHORS, RATIOS, Detection

HEADING = """## Between the engines

Of an input of `heads.engine` that a call does not ask for, give it one piece of zeros, and leave its outputs.
What follows is what `convnext_edge.network.remote_detector` computes.
"""


def explained(architecture: Architecture) -> str:
    """Return the steps between the engines of a detector, with all numbers, as text of a README."""
    how, heads = architecture.detection, architecture.box_heads
    assert how is not None
    rows = how.rows(architecture.classes)
    agnostic = architecture.cascade is not None and architecture.cascade.agnostic
    steps = (
        anchors(how, architecture.level_strides),
        proposals(how),
        cutting(how, architecture.strides),
        boxes(how, rows, heads, agnostic=agnostic),
        chosen(how),
        masks(heads),
    )
    return "\n".join([HEADING, *(f"{number}. {step}" for number, step in enumerate(steps, 1)), ""])


def anchors(how: Detection, strides: Sequence[int]) -> str:
    """Return where the anchors are, and what tells of them."""
    from convnext_edge.network.boxes import LARGEST_STRETCH
    from convnext_edge.network.mask_rcnn import ANCHOR_EDGES

    if how.library == "torchvision":
        places = "height and width of the image, divided by rows and columns of the level without a rest"
        rounded = " Their corners, around 0, are rounded."
    else:
        places, rounded = f"{listed(strides)} pixels, level by level", ""
    return (
        f"Anchors: {ANCHORS} at each cell of a level, whose heights are {listed(RATIOS)} of their widths; the"
        f" square ones have edges of {listed(ANCHOR_EDGES)} pixels, level by level.{rounded} The first cell's"
        f" centre is at 0, and centres are so far apart: {places}. They are counted by rows, columns and"
        " shapes. Their logits are `objectnessK`, their offsets `deltasK`, four channels for each shape: of"
        " the centre, in edges of the anchor, and logarithms of how much width and height grow,"
        f" {LARGEST_STRETCH:.5g} at most."
    )


def proposals(how: Detection) -> str:
    """Return how the proposals are chosen."""
    from convnext_edge.network.mask_rcnn import SMALLEST_PROPOSAL

    return (
        f"Proposals: the {how.candidates} likeliest of each level are decoded and cut off at the image; those"
        f" with an edge under {SMALLEST_PROPOSAL:g} pixels are dropped. Of two of a level whose IoU is over"
        f" {how.proposal_overlap:g}, the likelier one stays. Of all levels, the {how.proposals} likeliest are"
        " taken."
    )


def cutting(how: Detection, strides: Sequence[int]) -> str:
    """Return how pieces are cut out of the levels."""
    from convnext_edge.network.mask_rcnn import LEVEL_EDGES

    samples = (
        "2 samples along each edge of a cell, and no half pixel (`output_half_pixel` of ONNX)"
        if how.library == "torchvision"
        else "as many samples as the map has cells, half a pixel aside (`half_pixel` of ONNX)"
    )
    return (
        "RoIAlign: from `level0` for the smallest boxes to `level3`, one level further at each of"
        f" {listed(LEVEL_EDGES)} pixels that the root of the area reaches. Their cells are {listed(strides)}"
        f" pixels wide. It takes {samples}."
    )


def boxes(how: Detection, rows: int, heads: int, *, agnostic: bool) -> str:
    """Return what the box heads tell. rows: classes, the background among them. agnostic: as of `Cascade`."""
    from convnext_edge.network.mask_rcnn import BOX_WEIGHTS

    first = "first" if how.background_first else "last"
    told = "one box for all classes"
    if not agnostic:
        told = "each of them" if how.background_first else "each of them but the background"
    weights = "; then by ".join(listed(found) for found in BOX_WEIGHTS[:heads])
    refined = (
        " Each head looks at the boxes that the one before it made for its likeliest class, cut off at the"
        " image. The mean of the logits of all counts, and the boxes of the last."
    )
    return (
        f"Box heads: logits of {rows} classes, of which the background is the {first}, and four offsets for"
        f" {told}, from the box that the head looked at; as those of anchors, but first divided by {weights}."
        f"{refined if heads > 1 else ''} Scores are their softmax."
    )


def chosen(how: Detection) -> str:
    """Return which boxes are detections."""
    from convnext_edge.network.mask_rcnn import SMALLEST_BOX

    return (
        f"Detections: boxes of a class, cut off at the image, with a score over {how.score:g}, edges of"
        f" {SMALLEST_BOX:g} pixels at least, and no better box of the class that overlaps them by an IoU over"
        f" {how.overlap:g}; of all classes, the {how.detections} best."
    )


def masks(heads: int) -> str:
    """Return what the masks are."""
    mean = ", in the mean of all heads" if heads > 1 else ""
    return f"Masks: the sigmoid of the logits of the box's own class{mean}."


def listed(numbers: Iterable[float]) -> str:
    """Return numbers with commas between them."""
    return ", ".join(f"{number:.4g}" for number in numbers)
