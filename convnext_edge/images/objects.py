"""Objects in pictures: from what a detector answers of its input to boxes and masks in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convnext_edge.images.bilinear import neighbours
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import place_of_size, resized_size

Size = tuple[int, int]  # width and height
Boxes = NDArray[np.float32] | NDArray[np.float64]  # (R, 4): left, top, right, bottom
NO_LABEL = -1  # of a place without a detection
MORE = 0x20  # in a character of run lengths: more of the number follow
LONGEST_RUN = 35  # bits
INSIDE = 0.5  # likelihood from which a pixel is of the object


class Found(NamedTuple):
    """The detections of an image, the surest first; R of them."""

    boxes: Boxes
    labels: NDArray[np.int64]  # (R,)
    scores: NDArray[np.float32]  # (R,)
    masks: NDArray[np.float32]  # (R, rows, columns): how likely each part of a box is of the object


def split(outputs: Sequence[NDArray[np.float32]]) -> list[Found]:
    """Return the detections of each image, without the places that hold none. outputs: as of the task."""
    return [
        Found(boxes[hit], labels[hit].astype(np.int64), scores[hit], masks[hit])
        for boxes, labels, scores, masks in zip(*outputs, strict=True)
        for hit in [labels != NO_LABEL]
    ]


def in_picture(boxes: Boxes, size: Size, preprocessing: Preprocessing) -> NDArray[np.float64]:
    """Return boxes of a model's input as boxes of the picture that was prepared for it.

    They may lie beyond its edges, as the input does. size: width and height of the picture.
    """
    resized = resized_size(*size, preprocessing)
    place = place_of_size(resized, preprocessing)
    corners = boxes.astype(np.float64).reshape(-1, 2, 2) - place
    return (corners * (np.array(size) / resized)).reshape(-1, 4)


def cut_off(boxes: NDArray[np.float64], size: Size) -> NDArray[np.float64]:
    """Return boxes (R, 4) cut off at the edges of a picture; those that lie beyond have no area."""
    return np.clip(boxes.reshape(-1, 2, 2), 0, size).reshape(-1, 4)


def have_area(boxes: Boxes) -> NDArray[np.bool_]:
    """Return of boxes (R, 4) whether they cover anything, (R,)."""
    covers: NDArray[np.bool_] = np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
    return covers


def paste(mask: NDArray[np.float32], box: NDArray[np.float64], size: Size) -> NDArray[np.float32]:
    """Return how likely each pixel of a picture is of an object, (height, width).

    mask: (rows, columns) of the box, all of it: what lies beyond the edges of the picture is not drawn. size:
    width and height. As torchvision's paste_masks_in_image: with a border of zeros around the mask, the box
    as much larger, and its corners cut off to whole pixels.
    """
    framed = np.pad(mask, 1)
    growth = framed.shape[0] / mask.shape[0]
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * growth
    left, top = np.trunc(centre - half).astype(int)
    right, bottom = np.trunc(centre + half).astype(int)
    width, height = max(right - left + 1, 1), max(bottom - top + 1, 1)
    whole = np.zeros((size[1], size[0]), np.float32)
    rows, columns = within(top, height, size[1]), within(left, width, size[0])
    whole[rows, columns] = stretch(framed, (width, height), moved(columns, -left), moved(rows, -top))
    return whole


def within(start: int, count: int, edge: int) -> slice:
    """Return which of `count` pixels from `start` on are among the `edge` pixels of a picture."""
    first = min(max(start, 0), edge)
    return slice(first, max(min(start + count, edge), first))


def moved(part: slice, by: int) -> slice:
    """Return a part that begins and ends so many places further."""
    return slice(part.start + by, part.stop + by)


def covered(mask: NDArray[np.float32], box: NDArray[np.float64], size: Size) -> NDArray[np.bool_]:
    """Return whether each pixel of a picture is of an object, (height, width); as `paste`."""
    return paste(mask, box, size) > INSIDE


def stretch(mask: NDArray[np.float32], size: Size, columns: slice, rows: slice) -> NDArray[np.float32]:
    """Return these rows and columns of a mask in another size, by bilinear interpolation between four."""
    across, down = (
        tuple(each[part] for each in neighbours(before, after, np.float32))
        for before, after, part in zip(mask.shape[::-1], size, (columns, rows), strict=True)
    )
    (left, right, x), (above, below, y) = across, down
    upper = mask[above][:, left] * (1 - x) + mask[above][:, right] * x
    lower = mask[below][:, left] * (1 - x) + mask[below][:, right] * x
    made: NDArray[np.float32] = (upper * (1 - y)[:, None] + lower * y[:, None]).astype(np.float32)
    return made


def run_lengths(inside: NDArray[np.bool_]) -> dict[str, Any]:
    """Return a mask (height, width) as COCO's results have it: `size`, and `counts` as text.

    Counts are the lengths of runs down the columns, of zeros first.
    """
    pixels = np.concatenate([[False], inside.ravel(order="F")])
    turns = np.flatnonzero(pixels[1:] != pixels[:-1])
    ends = np.concatenate([turns, [inside.size]])
    return {"size": list(inside.shape), "counts": as_text(np.diff(ends, prepend=0).tolist())}


def as_text(counts: Sequence[int]) -> str:
    """Return run lengths as COCO's tools write them, in characters of five bits and one for "more follow".

    From the fourth on, it is the difference to the one two before. Format: maskApi.h of cocoapi.
    """
    found = []
    for place, count in enumerate(counts):
        rest = count - (counts[place - 2] if place > 2 else 0)
        more = True
        while more:
            bits, rest = rest & 0x1F, rest >> 5
            more = rest != (-1 if bits & 0x10 else 0)
            found.append(chr(ord("0") + bits + (MORE if more else 0)))
    return "".join(found)


def of_text(text: str) -> list[int]:
    """Return the run lengths that `as_text` wrote; raise ValueError for what it does not write."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - ord("0")
        if not 0 <= bits < 2 * MORE or shift > LONGEST_RUN:
            raise ValueError(f"{character!r} is no part of run lengths")
        value |= (bits & (MORE - 1)) << shift
        shift += 5
        if bits & MORE:
            continue
        if bits & 0x10:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("run lengths end within a number")
    return counts
