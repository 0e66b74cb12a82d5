"""Images made bad by one of the 15 kinds, at a severity, the same each time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convnext_edge.errors import UsageError
from convnext_edge.images.corruptions import blurs, digital, noises, weather
from convnext_edge.images.corruptions.severities import KINDS, SEVERITIES, published_for

Change = Callable[[Any, Any, np.random.Generator], NDArray[np.float64]]

CHANGES: dict[str, Change] = {
    "gaussian_noise": noises.gaussian_noise,
    "shot_noise": noises.shot_noise,
    "impulse_noise": noises.impulse_noise,
    "defocus_blur": blurs.defocus_blur,
    "glass_blur": blurs.glass_blur,
    "motion_blur": blurs.motion_blur,
    "zoom_blur": blurs.zoom_blur,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": weather.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
}
CELLS = tuple((kind, severity) for kind in KINDS for severity in range(1, SEVERITIES + 1))
LEAST_EDGE = 16  # pixels: of smaller images, blur would reach over the whole


def check_corruptible(channels: int, size: tuple[int, int]) -> None:
    """Raise UsageError for images that the corruptions are not defined for."""
    if channels != 3:
        raise UsageError(
            f"the model takes {channels} channels, and corruptions are defined for RGB images",
            hint="Leave --corruptions out.",
        )
    if min(size) < LEAST_EDGE:
        raise UsageError(
            f"the model takes {size[0]}x{size[1]} pixels, and corruptions need {LEAST_EDGE} of an edge",
            hint="Leave --corruptions out.",
        )


def corrupt(
    images: NDArray[np.uint8], kind: str, severity: int, *, names: Sequence[str], seed: int = 0
) -> NDArray[np.uint8]:
    """Return images (N, 3, H, W) as bytes, made as bad as is published for their size.

    severity: 1 to 5, see `published_for`. names: of the images; with the seed they give the random numbers,
    so that an image is changed alike whatever others are beside it.
    """
    value = published_for(min(images.shape[2:])).values[kind][severity - 1]
    made = np.empty_like(images)
    for number, (image, name) in enumerate(zip(images, names, strict=True)):
        random = np.random.default_rng(_number(f"{seed}/{kind}/{severity}/{name}"))
        changed = CHANGES[kind](image.transpose(1, 2, 0) / 255, value, random)
        # cut off, not rounded, as the authors' files are; a hair more, so that bytes that stay remain
        made[number] = (np.clip(changed, 0, 1) * 255 + 1e-6).astype(np.uint8).transpose(2, 0, 1)
    return made


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:8])
