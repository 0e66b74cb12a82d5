"""The transform by which an image becomes the input of a model, with which its accuracy was measured.

Sources: `transforms_imagenet_eval`, `ResizeKeepRatio` and `center_crop_or_pad` of timm
(timm/data/transforms_factory.py, transforms.py), `resize` and `center_crop` of torchvision
(torchvision/transforms/functional.py), `center_crop` of transformers (image_processing_backends.py),
`build_transform` of the official ConvNeXt (datasets.py). They differ in values, which `Preprocessing` holds.
"""

from __future__ import annotations

from typing import get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convnext_edge.errors import ImageSetError
from convnext_edge.images import tensor_resize
from convnext_edge.images.decoding import MAX_PIXELS, to_channels
from convnext_edge.images.preprocessing import Interpolation, Preprocessing

WHOLE = ("pad", "corner")  # resize modes in which all of an image lies within the input
MOST_WINDOWS = 16  # side by side: logits of each take up to 245 MB, of 150 classes and 640x640 pixels
INTERPOLATIONS = get_args(Interpolation)


def preprocess(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Resize `image` and crop it at the centre.

    Returns (H, W, channels) uint8 of the size and the channels that `preprocessing` tells. Raises
    ImageSetError for an image that is too elongated to resize, or that has 32-bit samples.
    """
    check_preprocessing(preprocessing)
    converted = to_channels(image, len(preprocessing.mean))
    pixels = np.array(fit_to_input(converted, preprocessing))
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def whole_picture(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Return all pixels of an image, (height, width, channels), for windows to slide over.

    Raises ImageSetError for an image that is too elongated for that, or that has 32-bit samples.
    """
    down, across = (edge / own for edge, own in zip(image.size[::-1], preprocessing.size, strict=True))
    if max(down, across) > MOST_WINDOWS * min(down, across):
        raise ImageSetError(
            f"{image.width}x{image.height} pixels are too elongated: over {MOST_WINDOWS} windows long"
        )
    pixels = np.array(to_channels(image, len(preprocessing.mean)))
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def fit_to_input(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """Return an image of the model's channels, resized, filled up and cropped to the size of its input."""
    return _crop(_pad(_resize(image, preprocessing), preprocessing), preprocessing)


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
    width, height = resized_size(image.width, image.height, preprocessing)
    if width * height > MAX_PIXELS or min(width, height) < 1:
        raise ImageSetError(f"{image.width}x{image.height} pixels are too elongated to resize")
    filter = tensor_resize.FILTERS.get(preprocessing.interpolation)
    if preprocessing.resampler == "pytorch" and filter is not None:
        pixels = np.asarray(image).reshape(image.height, image.width, -1)
        resized = tensor_resize.resize(pixels, width, height, filter)
        return Image.fromarray(resized.squeeze(2) if resized.shape[2] == 1 else resized)
    return image.resize((width, height), Image.Resampling[preprocessing.interpolation.upper()])


def resized_size(width: int, height: int, preprocessing: Preprocessing) -> tuple[int, int]:
    """Return width and height of an image that is resized, before padding and crop."""
    rows, columns = preprocessing.resized
    mode = preprocessing.resize_mode
    if mode == "squash":
        return columns, rows
    if mode in WHOLE or rows != columns:  # timm's ResizeKeepRatio: by the longer edge, or covering both
        ratio = (max if mode in WHOLE else min)(height / rows, width / columns)
        return round(width / ratio), round(height / ratio)
    # torchvision's _compute_resized_output_size: the longer edge is cut off, not rounded.
    if width <= height:
        return rows, int(rows * height / width)
    return int(rows * width / height), rows


def _pad(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """Return the image in the middle, or in the corner, of one that is nowhere smaller than the input."""
    whole = _filled_up(image.size, preprocessing)
    if whole == image.size:
        return image
    padded = Image.new(image.mode, whole, preprocessing.padding)
    padded.paste(image, _start(image.size, whole, preprocessing))
    return padded


def _filled_up(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """Return width and height of an image that was filled up to the size of the input at least."""
    height, width = preprocessing.size
    return max(size[0], width), max(size[1], height)


def _start(size: tuple[int, int], whole: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """Return the column and the row where an image begins in one of size `whole`."""
    if preprocessing.resize_mode == "corner":
        return 0, 0
    return (whole[0] - size[0]) // 2, (whole[1] - size[1]) // 2


def _cut(whole: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """Return the column and the row where the input begins in an image of size `whole`."""
    if preprocessing.resize_mode == "corner":
        return 0, 0
    height, width = preprocessing.size
    # Python's rounding, by which halves go to the even pixel, is that of torchvision's center_crop.
    rounded = round if preprocessing.crop_rounding == "half_even" else int
    return rounded((whole[0] - width) / 2), rounded((whole[1] - height) / 2)


def place_of_size(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """Return the column and the row of the input where an image that was resized to `size` begins."""
    whole = _filled_up(size, preprocessing)
    (x, y), (left, top) = _start(size, whole, preprocessing), _cut(whole, preprocessing)
    return x - left, y - top


def _crop(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    height, width = preprocessing.size
    left, top = _cut(image.size, preprocessing)
    return image.crop((left, top, left + width, top + height))
