"""Label maps: pictures whose values are the classes of the pixels of other pictures, as ADE20K has them.

images/.../NAME.jpg        the pictures
annotations/.../NAME.png   a label map for each, of the same size, with a class in each pixel's one byte

A path names the folder above both, where neither is divided into parts, or images/, or a part of that, as
images/validation.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convnext_edge.errors import ImageSetError
from convnext_edge.images.contents import UNLABELLED
from convnext_edge.images.decoding import MAX_PIXELS
from convnext_edge.images.preprocessing import LabelZero, Preprocessing
from convnext_edge.images.transform import fit_to_input

IMAGES, MAPS = "images", "annotations"
SUFFIX = ".png"
BYTE = 8  # bits
IGNORED = 255  # in a label map: a pixel that counts nowhere
OF_CLASSES = (
    "L",
    "P",
)  # Pillow's modes with a byte for each pixel; of a palette, its numbers are the classes

LabelMap = NDArray[np.int64]  # (H, W) the class of each pixel, 0-based; -1 where it has none


def root_of(path: Path) -> Path | None:
    """Return the folder that holds the pictures of `path` and their label maps beside them, if any does."""
    for folder in (path, *path.parents):
        if folder.name == IMAGES and (folder.parent / MAPS / path.relative_to(folder)).is_dir():
            return folder.parent
    return None


def map_of(name: str) -> str | None:
    """Return the name of the label map of a picture; None for a picture outside of images/."""
    parts = PurePosixPath(name).parts
    if IMAGES not in parts[:-1]:
        return None
    place = parts.index(IMAGES)
    return str(PurePosixPath(*parts[:place], MAPS, *parts[place + 1 :]).with_suffix(SUFFIX))


def is_map(name: str) -> bool:
    """Tell whether a file is a label map by its place."""
    return MAPS in PurePosixPath(name).parts[:-1] and name.lower().endswith(SUFFIX)


def pair(names: Sequence[str], path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name of each picture and of its label map; nothing where there are no label maps.

    names: of all images in a set. Raises ImageSetError where a picture has no label map, and for a set of
    several parts.
    """
    maps = set(filter(is_map, names))
    found = {name: map_of(name) for name in names if name not in maps}
    if not maps & set(found.values()):
        return
    missing = [name for name, its in found.items() if its not in maps]
    if missing:
        raise ImageSetError(
            f"{path}: {len(missing)} of {len(found)} pictures have no label map, such as {missing[0]}",
            hint=f"Each needs {MAPS}/.../NAME{SUFFIX}, in the same folders as below {IMAGES}/.",
        )
    folders = sorted({str(PurePosixPath(name).parent) for name in found})
    if len(folders) > 1:
        raise ImageSetError(
            f"{path} has pictures and label maps in {len(folders)} folders, as {folders[0]} and {folders[1]}",
            hint=f"Give one of them: {path / folders[-1]}",
        )
    yield from ((name, its) for name, its in found.items() if its is not None)


def read_map(
    data: bytes, size: tuple[int, int], preprocessing: Preprocessing, *, whole: bool = False
) -> LabelMap:
    """Return a label map as the pixels of the model's input have it, or as those of the picture.

    size: width and height of the picture. whole: whether it is the picture's. Raises ImageSetError for what
    is no label map of it.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.width * image.height > MAX_PIXELS or image.size != size:
                raise ImageSetError(
                    f"its label map is {image.width}x{image.height}, not {size[0]}x{size[1]} as the picture"
                )
            if image.mode not in OF_CLASSES:
                raise ImageSetError(
                    f"its label map is of mode {image.mode}, not of L or P: one byte a pixel, its class"
                )
            if image.mode == "L" and (depth := bits(data)) != BYTE:
                raise ImageSetError(
                    f"its label map has {depth} bits a pixel, not 8: these are levels of gray"
                )
            codes = Image.fromarray(np.asarray(image))
    except ImageSetError:
        raise
    except Exception as error:  # Pillow's decoder raises nearly any type on damaged data
        raise ImageSetError(f"its label map cannot be decoded: {error}") from error
    fitted = codes if whole else fit_to_input(codes, as_map(preprocessing))
    return numbered(np.asarray(fitted), preprocessing.label_zero)


def bits(data: bytes) -> int:
    """Return the bits of each sample of a PNG file, as its first chunk (IHDR) says.

    Pillow spreads levels of gray in 2 or 4 bits over 0 to 255, as the format wants it: 3 of 15 is 51. Of a
    label map, nothing tells whether 3 or 51 is the class.
    """
    return data[24]


def as_map(preprocessing: Preprocessing) -> Preprocessing:
    """Return how a label map comes to the size of the input: as the picture, by its nearest pixels."""
    color = None if preprocessing.resize_mode == "squash" else (IGNORED,)
    near = replace(preprocessing, interpolation="nearest", resampler="pillow", pad_color=color)
    return replace(near, mean=(0.0,), std=(1.0,))


def numbered(codes: NDArray[np.uint8], zero: LabelZero) -> LabelMap:
    """Return the classes that bytes of a label map stand for. zero: what 0 stands for."""
    classes = codes.astype(np.int64)
    none = classes == IGNORED
    if zero == "none":
        classes, none = classes - 1, none | (classes == 0)
    return np.where(none, UNLABELLED, classes)
