"""What the tests of image sets share: photographs of noise in folders of classes, and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convnext_edge.errors import ImageSetError
from convnext_edge.images.opening import open_image_set


def save_photo(path: Path, seed: int = 0) -> None:
    """Save a photograph of noise, 8 x 8 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def save_tiles(path: Path, random: np.random.Generator, size: tuple[int, int]) -> None:
    """Save a picture of this width and height in which 8 x 6 random colours blend."""
    tiles = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8))
    tiles.resize(size, Image.Resampling.BICUBIC).save(path)


def save_class_folders(root: Path, *classes: str, count: int = 2) -> None:
    """Save `count` photographs in a folder of each class."""
    for label, folder in enumerate(classes):
        for index in range(count):
            save_photo(root / folder / f"{index}.jpg", seed=10 * label + index)


def refusal(source: Path | str, **options: Path) -> ImageSetError:
    """Return the error that opening an image set raises; it has a hint."""
    with pytest.raises(ImageSetError) as caught:
        open_image_set(str(source), **options)  # type: ignore[arg-type]
    assert caught.value.hint
    return caught.value
