"""Label maps as PNG files, and overlays: the classes of the pixels in colours, over the picture.

Both have the size of the model's input, and show the picture as the model saw it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from convnext_edge.artifacts.files import write_whole
from convnext_edge.artifacts.names import made_plain
from convnext_edge.errors import UsageError
from convnext_edge.images.preprocessing import Preprocessing

MOST_CLASSES = 256  # that a byte for each pixel tells apart
COVER = 0.5  # share of a class's colour in an overlay
LABELS, OVERLAY = ".labels.png", ".overlay.png"
MADE_BY = ("Software", "convnext-edge predict")  # by which a file of ours is known

Pixels = NDArray[np.uint8]


@dataclass
class MapWriter:
    """Writes the two files of each picture into a folder; only files that `predict` wrote are replaced."""

    folder: Path
    preprocessing: Preprocessing
    used: set[str] = field(default_factory=set)  # names of this run, as file systems without cases have them

    def write(
        self, picture: str, image: NDArray[np.float32] | Pixels, classes: NDArray[np.int64]
    ) -> tuple[Path, Path]:
        """Write label map and overlay; return where they are.

        image: (3, H, W) as the model takes it. classes: (H, W). Raises UsageError where a file is in the way.
        """
        name = self._name(picture)
        pixels = as_pixels(image, self.preprocessing)
        label_map = Image.fromarray(classes.astype(np.uint8)).convert("P")
        label_map.putpalette(palette().ravel().tolist())
        places = self.folder / (name + LABELS), self.folder / (name + OVERLAY)
        for place, drawn in zip(places, (label_map, overlay(pixels, classes)), strict=True):
            save(drawn, place)
        return places

    def _name(self, picture: str) -> str:
        stem = made_plain(PurePath(picture).stem) or "picture"
        names = (stem, *(f"{stem}_{number}" for number in range(2, len(self.used) + 3)))
        name = next(name for name in names if name.casefold() not in self.used)
        self.used.add(name.casefold())
        return name


def check_maps(folder: Path, classes: int, channels: int) -> None:
    """Raise UsageError where label maps cannot be written: too many classes, one, or other channels."""
    if classes > MOST_CLASSES:
        raise UsageError(
            f"--maps: a label map has a byte for each pixel, and the model has {classes} classes",
            hint="Take --save FILE.safetensors, which holds the logits.",
        )
    if classes == 1:
        raise UsageError(
            "--maps: the model has one class, which is always the largest: each map would be full of it",
            hint="Take --save FILE.safetensors, which holds the logits.",
        )
    if channels not in (1, 3):
        raise UsageError(
            f"--maps: an overlay is drawn over gray or RGB, and the model takes {channels} channels",
            hint="Take --save FILE.safetensors, which holds the logits.",
        )
    if folder.exists() and not folder.is_dir():
        raise UsageError(
            f"--maps {folder} is no folder", hint="Name a folder, which is made where it is missing."
        )


def save(image: Image.Image, place: Path) -> None:
    """Write a PNG file; raise UsageError where another's is in its place."""
    if place.exists() and not is_ours(place):
        raise UsageError(
            f"{place} would take the place of a file that predict did not write", hint="Name another folder."
        )
    told = PngInfo()
    told.add_text(*MADE_BY)
    write_whole(place, lambda file: image.save(file, "PNG", pnginfo=told))


def is_ours(place: Path) -> bool:
    """Return whether `predict` wrote a PNG file."""
    try:
        with Image.open(place, formats=("PNG",)) as image:
            return image.info.get(MADE_BY[0]) == MADE_BY[1]
    except Exception:  # on a damaged file, Pillow raises errors of many kinds
        return False


def as_pixels(image: NDArray[np.float32] | Pixels, preprocessing: Preprocessing) -> Pixels:
    """Return (H, W, 3) bytes of what a model takes, (1 or 3, H, W): bytes, or normalized values of them."""
    if image.dtype != np.uint8:
        mean, std = (np.reshape(values, (-1, 1, 1)) for values in (preprocessing.mean, preprocessing.std))
        image = np.rint((image * std + mean) * 255).clip(0, 255).astype(np.uint8)
    return np.broadcast_to(image.transpose(1, 2, 0), (*image.shape[1:], 3)).astype(np.uint8)


def overlay(pixels: Pixels, classes: NDArray[np.int64]) -> Image.Image:
    """Return a picture (H, W, 3) below the colours of its classes (H, W)."""
    mixed = (1 - COVER) * pixels + COVER * palette()[classes]
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def palette() -> Pixels:
    """Return a colour for each class, (256, 3): those of Pascal VOC, whose bits are those of the number.

    Source: VOClabelcolormap of the VOC development kit (Everingham et al., 2010).
    """
    colors = np.zeros((MOST_CLASSES, 3), np.uint8)
    number = np.arange(MOST_CLASSES)
    for bit in range(7, -1, -1):
        for channel in range(3):
            colors[:, channel] |= ((number >> channel & 1) << bit).astype(np.uint8)
        number >>= 3
    return colors


def shares(classes: NDArray[np.int64]) -> Sequence[tuple[int, float]]:
    """Return the classes in a label map (H, W) with their share of the pixels, the largest first."""
    found, counts = np.unique(classes, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [(int(found[i]), float(counts[i] / classes.size)) for i in order]
