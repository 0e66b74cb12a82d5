"""Compose pictures with label maps: pictures of CIFAR-10 (Krizhevsky, 2009) pasted on textured backgrounds.

    python -m benchmarks.make.compose_segments --data cifar10 --out calibration/demo_segment

Each picture is of 64 x 64 pixels and has one to three of CIFAR-10's, in sizes of 24 to 44 pixels and cut to
a disc, a diamond, a rounded square or a whole one, the last ones on top. A label map says 0 for the
background, 1 for an airplane and so on, in the order of CIFAR-10. What calibrates is composed of training
pictures, what is measured on of test pictures.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from benchmarks.support.composing import Canvas, Composed, Composer, Pixels, add_picture, composing_command

CANVAS = Canvas(edge=64, smallest=24, largest=44)


def label_map(made: Composed) -> Pixels:
    """The class of each pixel (64, 64), 0 for the background."""
    return np.array([0, *(1 + label for label in made.labels)], np.uint8)[made.numbers]


def write(archive: Path, made: Composer, count: int, *, labelled: bool) -> None:
    """Write so many pictures, and their label maps where asked for."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for number in range(count):
            composed = made.compose()
            add_picture(file, f"images/{number:03}.jpg", composed.pixels)
            if labelled:
                add_picture(file, f"annotations/{number:03}.png", label_map(composed))


main = composing_command(__doc__, CANVAS, write)

if __name__ == "__main__":
    main()
