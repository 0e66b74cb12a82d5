"""Digital: contrast, elastic deformation, coarse pixels, JPEG. Pictures are (H, W, 3) in 0..1."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from convnext_edge.images.corruptions.filters import Floats, gaussian, sampled

Random = np.random.Generator


def contrast(x: Floats, kept: float, random: Random) -> Floats:
    """Bring all values nearer to the mean of their channel."""
    mean = x.mean(axis=(0, 1), keepdims=True)
    flat: Floats = (x - mean) * kept + mean
    return flat


def elastic_transform(x: Floats, severity: tuple[float, float, float], random: Random) -> Floats:
    """Move three points of the picture, and then every pixel by a smooth field."""
    rows, columns = x.shape[:2]
    edge = min(rows, columns)
    strength, smoothness, shift = (edge * value for value in severity)
    middle, reach = np.array([columns // 2, rows // 2]), edge // 3
    corners = middle + reach * np.array([(1, 1), (1, -1), (-1, -1)])  # x and y of each
    places = np.indices((rows, columns)).astype(float)
    down, across = moved_back(places, corners, corners + random.uniform(-shift, shift, size=(3, 2)))
    tilted = sampled(x, down, across, "reflect")
    fields = [random.uniform(-1, 1, size=(rows, columns)) for _ in places]
    down, across = (
        place + strength * gaussian(field, smoothness, edges="symmetric", truncate=3)
        for place, field in zip(places, fields, strict=True)
    )
    return sampled(tilted, down, across, "symmetric")


def moved_back(places: Floats, corners: Floats, moved: Floats) -> tuple[Floats, Floats]:
    """Return where rows and columns (2, H, W) come from under the affine map that moves three points."""
    triple = np.column_stack([moved, np.ones(3)])
    across, down = np.linalg.solve(triple, corners.astype(float)).T  # x and y as sums of x, y and 1
    rows, columns = places
    source_rows: Floats = down[0] * columns + down[1] * rows + down[2]
    source_columns: Floats = across[0] * columns + across[1] * rows + across[2]
    return source_rows, source_columns


def pixelate(x: Floats, share: float, random: Random) -> Floats:
    """Make the picture smaller by a share, and as large as before, in squares."""
    picture = as_picture(x)
    small = (max(int(picture.width * share), 1), max(int(picture.height * share), 1))
    coarse = picture.resize(small, Image.Resampling.BOX).resize(picture.size, Image.Resampling.BOX)
    return np.asarray(coarse) / 255


def jpeg_compression(x: Floats, quality: int, random: Random) -> Floats:
    """Compress by JPEG and decode again."""
    file = io.BytesIO()
    as_picture(x).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)) / 255


def as_picture(x: Floats) -> Image.Image:
    """Return bytes that were divided by 255 as a picture of Pillow."""
    return Image.fromarray(np.round(x * 255).astype(np.uint8))
