"""The objects that a detector finds in pictures: as COCO's results have them, and drawn over the picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from convnext_edge.artifacts.artifact import Description
from convnext_edge.commands.predict.maps import OVERLAY, MapWriter, Pixels, as_pixels, palette, save
from convnext_edge.commands.predict.result import Object
from convnext_edge.images.objects import Found, Size, covered, cut_off, have_area, in_picture, run_lengths
from convnext_edge.images.preprocessing import Preprocessing

COVER = 0.4  # share of an object's colour in an overlay
DIGITS = 2  # of a pixel, in boxes


def objects_of(
    found: Found, size: Size, preprocessing: Preprocessing, labels: Sequence[str], threshold: float
) -> tuple[Object, ...]:
    """Return the objects with a higher score than the threshold, in the pixels of a picture of that size.

    What the model finds in the padding alone is no object of the picture.
    """
    whole = in_picture(found.boxes, size, preprocessing)
    boxes = cut_off(whole, size)
    chosen = np.flatnonzero((found.scores > threshold) & have_area(boxes))
    return tuple(
        Object(
            label=labels[found.labels[i]],
            index=int(found.labels[i]),
            score=float(f"{found.scores[i]:.6g}"),
            bbox=as_coco(boxes[i]),
            segmentation=run_lengths(covered(found.masks[i], whole[i], size)),
        )
        for i in chosen
    )


def as_coco(box: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return left, top, width and height of a box."""
    left, top, right, bottom = box.tolist()
    return (
        round(left, DIGITS),
        round(top, DIGITS),
        round(right - left, DIGITS),
        round(bottom - top, DIGITS),
    )


class ObjectWriter(MapWriter):
    """Writes the overlay of each picture into a folder."""

    def draw(
        self,
        picture: str,
        image: NDArray[np.float32] | Pixels,
        found: Found,
        labels: Sequence[str],
        threshold: float,
    ) -> Path:
        """Write masks, boxes and labels over the picture as the model takes it; return where they are.

        image: (3, H, W) as the model takes it. Raises UsageError where a file is in the way.
        """
        place = self.folder / (self._name(picture) + OVERLAY)
        save(overlay(as_pixels(image, self.preprocessing), found, labels, threshold), place)
        return place


def writer_of(described: Description, folder: Path) -> MapWriter:
    """Return what draws the answers of a model into files of a folder."""
    writer = ObjectWriter if described.task == "detect" else MapWriter
    return writer(folder, described.preprocessing)


def overlay(pixels: Pixels, found: Found, labels: Sequence[str], threshold: float) -> Image.Image:
    """Return a picture (H, W, 3) below the masks, boxes and labels of its objects, the surest on top."""
    colors, size = palette(), (pixels.shape[1], pixels.shape[0])
    chosen = np.flatnonzero((found.scores > threshold) & have_area(found.boxes))[::-1]
    mixed = pixels.astype(np.float32)
    for i in chosen:
        inside = covered(found.masks[i], found.boxes[i].astype(np.float64), size)
        mixed[inside] = (1 - COVER) * mixed[inside] + COVER * colors[1 + found.labels[i] % 255]
    image = Image.fromarray(np.rint(mixed).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for i in chosen:
        color = tuple(int(value) for value in colors[1 + found.labels[i] % 255])
        box = found.boxes[i].tolist()
        draw.rectangle(box, outline=color, width=2)
        text = f"{labels[found.labels[i]]} {found.scores[i]:.2f}"
        left = max(0, min(box[0] + 3, size[0] - draw.textlength(text)))  # a longer text begins at the edge
        draw.text((left, box[1] + 2), text, fill=color)
    return image
