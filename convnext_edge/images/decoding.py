"""Decoding: from the bytes of a file to an RGB image."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from convnext_edge.errors import ImageSetError, UsageError

# Pillow's other plugins read no photographs, and some start foreign programs (EPS: Ghostscript).
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".gif", ".ppm", ".tif", ".tiff", ".webp")

SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
NO_KNOWN_RANGE = ("I", "F")  # 32-bit samples: nothing says which value is white

# Pillow only warns above this number (about 89 million). We refuse: no photograph is that large.
MAX_PIXELS = 2**30 // 12


MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # of Pillow, by the number of channels


def decode(data: bytes, channels: int = 3, *, exif: bool = False) -> Image.Image:
    """Return the image in `data`, in RGB or of as many channels; of an animation, the first frame.

    exif: whether it is turned as its EXIF orientation says. transformers does that; timm and torchvision take
    the pixels as they are stored, so that the published accuracies were measured with those.

    Raises ImageSetError where the data is not an image, or an image that is broken, too large or of a kind
    that cannot be converted to RGB.
    """
    if not data:
        raise ImageSetError("the file is empty")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _refuse_bomb(image)
        return to_channels(ImageOps.exif_transpose(image) if exif else image, channels)
    except (ImageSetError, UsageError):
        raise
    except UnidentifiedImageError as error:
        raise ImageSetError(f"it is no image of a known kind ({', '.join(FORMATS)})") from error
    except Exception as error:  # Pillow's decoders raise nearly any type on damaged data
        raise ImageSetError(f"it cannot be decoded: {str(error) or type(error).__name__}") from error


def _refuse_bomb(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ImageSetError(f"it has {image.width}x{image.height} pixels, more than {MAX_PIXELS} in all")


def to_channels(image: Image.Image, channels: int) -> Image.Image:
    """Return `image` with 8 bits for each of 1 to 4 channels: gray, RGB, or either with its alpha channel.

    Raises UsageError for other numbers, of which no photograph has any, ImageSetError for samples of 32 bits.
    """
    mode = MODES.get(channels)
    if mode is None:
        raise UsageError(
            f"the model takes {channels} channels, and images have 1 to 4",
            hint="Such a model can be exported and built in float; it cannot be shown images of a set.",
        )
    if image.mode == mode:
        image.load()  # a damaged one fails here, and not wherever its pixels are first looked at
        return image
    return to_rgb(image) if mode == "RGB" else _plain(image).convert(mode)


def to_rgb(image: Image.Image) -> Image.Image:
    """Return `image` as 8-bit RGB, as torchvision's loader makes it: `convert("RGB")` drops an alpha channel.

    There is one difference: of 16-bit gray, the upper byte is kept. Pillow would clip the values at 255, so
    that the image would be nearly white. Raises ImageSetError for samples of 32 bits.
    """
    return _plain(image).convert("RGB")


def _plain(image: Image.Image) -> Image.Image:
    if image.mode in NO_KNOWN_RANGE:
        raise ImageSetError(f"mode {image.mode} (32-bit samples) has no known range of values")
    if image.mode in SIXTEEN_BIT:
        samples = np.asarray(image)
        return Image.fromarray((samples >> 8).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA")  # the same colours; Pillow warns of the direct way
    return image
