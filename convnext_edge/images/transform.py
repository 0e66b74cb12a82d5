"""The evaluation transform, with which a checkpoint's published accuracy was measured.

Sources: `transforms_imagenet_eval` of timm (timm/data/transforms_factory.py), `Resize` and
`center_crop` of torchvision (torchvision/transforms/functional.py), `build_transform` of the official
ConvNeXt (datasets.py).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convnext_edge.errors import ImageSetError
from convnext_edge.images.decoding import MAX_PIXELS, to_channels
from convnext_edge.images.preprocessing import Preprocessing

INTERPOLATIONS = tuple(member.name.lower() for member in Image.Resampling)


def preprocess(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Resize `image` and crop it at the centre.

    Returns (H, W, channels) uint8 of the size and the channels that `preprocessing` tells. Raises
    ImageSetError for an image that is too elongated to resize, or that has 32-bit samples.
    """
    check_preprocessing(preprocessing)
    converted = to_channels(image, len(preprocessing.mean))
    resized = _resize(converted, preprocessing)
    pixels = np.array(_centre_crop(resized, preprocessing.size))
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def normalize(images: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return (x / 255 - mean) / std of each channel, from (N, channels, H, W) uint8 to float32."""
    mean = np.array(preprocessing.mean, np.float32).reshape(-1, 1, 1)
    std = np.array(preprocessing.std, np.float32).reshape(-1, 1, 1)
    scaled = images.astype(np.float32)
    scaled /= 255
    scaled -= mean
    scaled /= std
    return scaled


def as_reference_takes(
    images: NDArray[np.uint8] | NDArray[np.float32], preprocessing: Preprocessing
) -> NDArray[np.float32]:
    """Return images as the reference takes them: bytes are normalized, float32 is normalized already."""
    if images.dtype == np.uint8:
        return normalize(images.astype(np.uint8, copy=False), preprocessing)
    return images.astype(np.float32, copy=False)


def check_preprocessing(preprocessing: Preprocessing) -> None:
    """Raise ImageSetError for an unknown interpolation, or a crop or resolution that is out of range."""
    if preprocessing.interpolation not in INTERPOLATIONS:
        raise ImageSetError(
            f"interpolation {preprocessing.interpolation!r} is not known",
            hint=f"Pillow has: {', '.join(INTERPOLATIONS)}.",
        )
    if not 0 < preprocessing.crop <= 1:
        raise ImageSetError(
            f"crop {preprocessing.crop} is out of range",
            hint="It is the fraction of the shorter edge that is kept: above 0, at most 1.",
        )
    if min(preprocessing.size) < 1:
        raise ImageSetError(
            f"resolution {preprocessing.size_text} is out of range", hint="Give the input's edge in pixels."
        )


def _resize(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    width, height = _resized_size(image.width, image.height, preprocessing)
    if width * height > MAX_PIXELS:
        raise ImageSetError(f"{image.width}x{image.height} pixels are too elongated to resize")
    return image.resize((width, height), Image.Resampling[preprocessing.interpolation.upper()])


def _resized_size(width: int, height: int, preprocessing: Preprocessing) -> tuple[int, int]:
    """Return width and height before the crop."""
    if preprocessing.squashes:
        # The official ConvNeXt: "warping (no cropping) when evaluated at 384 or larger".
        return preprocessing.size[1], preprocessing.size[0]
    wanted = [math.floor(edge / preprocessing.crop) for edge in preprocessing.size]  # timm's scale_size
    if wanted[0] != wanted[1]:  # timm's ResizeKeepRatio: the image covers both edges
        ratio = min(height / wanted[0], width / wanted[1])
        return round(width / ratio), round(height / ratio)
    short = wanted[0]
    # torchvision's _compute_resized_output_size: the longer edge is cut off, not rounded.
    if width <= height:
        return short, int(short * height / width)
    return int(short * width / height), short


def _centre_crop(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    height, width = size
    # torchvision's center_crop: Python's rounding, so halves go to the even pixel.
    left = round((image.width - width) / 2)
    top = round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
