"""Compose pictures with objects: pictures of CIFAR-10 (Krizhevsky, 2009) pasted on textured backgrounds.

    python -m benchmarks.make.compose_objects --data cifar10 --out calibration/demo_detect

Each picture is of 96 x 96 pixels and has one to three of CIFAR-10's, in sizes of 28 to 56 pixels and cut as
in `compose_segments`. Boxes and masks are of what is seen of an object; a picture that hides half of one is
composed anew. They are told in COCO's format, where category 1 is an airplane and so on, in the order of
CIFAR-10. What calibrates is composed of training pictures, what is measured on of test pictures.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.support.composing import Canvas, Composed, Composer, add_bytes, add_picture, composing_command
from convnext_edge.checkpoints.load_source import OF_CIFAR10
from convnext_edge.images.objects import run_lengths

CANVAS = Canvas(edge=96, smallest=28, largest=56)
LEAST_SEEN = 0.5  # of the pixels of an object
ANNOTATIONS = "annotations.json"


@dataclass(frozen=True)
class Thing:
    """An object in a picture."""

    label: int  # from 1
    mask: NDArray[np.bool_]  # (96, 96)
    box: tuple[int, int, int, int]  # left, top, right and bottom of what is seen

    def told(self, number: int, picture: int) -> dict[str, Any]:
        """The object as COCO's files have it."""
        left, top, right, bottom = self.box
        return {
            "id": number,
            "image_id": picture,
            "category_id": self.label,
            "bbox": [left, top, right - left, bottom - top],
            "area": int(self.mask.sum()),
            "iscrowd": 0,
            "segmentation": run_lengths(self.mask),
        }


def next_scene(made: Composer) -> tuple[Composed, list[Thing]]:
    """The next picture in which every object can be seen, and these."""
    while True:
        composed = made.compose()
        masks = [composed.numbers == number for number in range(1, len(composed.labels) + 1)]
        seen = [mask.sum() / pasted for mask, pasted in zip(masks, composed.pasted, strict=True)]
        if min(seen) > LEAST_SEEN:
            labels = zip(composed.labels, masks, strict=True)
            return composed, [Thing(1 + label, mask, box_of(mask)) for label, mask in labels]


def box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the pixels of a mask, the last two beyond them."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def write(archive: Path, made: Composer, count: int, *, labelled: bool) -> None:
    """Write so many pictures, and their objects where asked for."""
    pictures: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for picture in range(count):
            composed, things = next_scene(made)
            name, edge = f"{picture:03}.jpg", CANVAS.edge
            add_picture(file, name, composed.pixels)
            pictures.append({"id": picture, "file_name": name, "width": edge, "height": edge})
            objects += [thing.told(len(objects) + n, picture) for n, thing in enumerate(things, 1)]
        if labelled:
            categories = [{"id": number, "name": name} for number, name in enumerate(OF_CIFAR10, 1)]
            told = {"images": pictures, "annotations": objects, "categories": categories}
            add_bytes(file, ANNOTATIONS, json.dumps(told).encode())


main = composing_command(__doc__, CANVAS, write)

if __name__ == "__main__":
    main()
