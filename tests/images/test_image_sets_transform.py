"""The evaluation transform and the decoding, held against plain Pillow and numpy."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from convnext_edge.errors import ImageSetError
from convnext_edge.images.decoding import decode
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import normalize, preprocess


def photo(size: tuple[int, int], mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Smooth noise, so that resampling has something to do."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def torchvision_eval(image: Image.Image, resolution: int, crop: float) -> np.ndarray:
    """Resize(floor(resolution / crop)) and CenterCrop(resolution), written anew from their documentation."""
    scale = math.floor(resolution / crop)
    short, long = sorted(image.size)
    new_long = int(scale * long / short)
    size = (scale, new_long) if image.width <= image.height else (new_long, scale)
    pixels = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
    top, left = (round((edge - resolution) / 2) for edge in pixels.shape[:2])
    return pixels[top : top + resolution, left : left + resolution]


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (301, 227), (64, 64), (33, 97), (1, 5), (256, 257)])
@pytest.mark.parametrize(("resolution", "crop"), [(224, 0.875), (64, 0.95), (33, 0.9), (32, 0.999)])
def test_preprocess_equals_the_transform_of_torchvision(
    size: tuple[int, int], resolution: int, crop: float
) -> None:
    image = photo(size)
    result = preprocess(image, Preprocessing(resolution=resolution, crop=crop))
    assert result.dtype == np.uint8
    assert result.shape == (resolution, resolution, 3)
    assert np.array_equal(result, torchvision_eval(image, resolution, crop))


def test_preprocess_squashes_the_whole_image_without_a_crop() -> None:
    image = photo((97, 50))
    squashed = np.asarray(image.resize((48, 48), Image.Resampling.BICUBIC))
    assert np.array_equal(preprocess(image, Preprocessing(48, 1.0, resize_mode="squash")), squashed)


def test_preprocess_leaves_an_image_of_the_right_size_alone() -> None:
    image = photo((32, 32))
    assert np.array_equal(preprocess(image, Preprocessing(resolution=32, crop=1.0)), np.asarray(image))


def test_preprocess_takes_the_named_interpolation() -> None:
    image = photo((90, 90))
    bilinear = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))
    result = preprocess(image, Preprocessing(resolution=32, crop=1.0, interpolation="bilinear"))
    assert np.array_equal(result, bilinear)


@pytest.mark.parametrize(
    ("preprocessing", "value", "remedy"),
    [
        (Preprocessing(interpolation="cubist"), "'cubist'", "bicubic"),
        (Preprocessing(crop=1.2), "crop 1.2", "at most 1"),
        (Preprocessing(crop=0.0), "crop 0.0", "above 0"),
        (Preprocessing(resolution=0), "resolution 0", "pixels"),
    ],
)
def test_preprocess_refuses_values_that_describe_no_transform(
    preprocessing: Preprocessing, value: str, remedy: str
) -> None:
    with pytest.raises(ImageSetError) as caught:
        preprocess(photo((8, 8)), preprocessing)
    assert value in caught.value.message
    assert remedy in caught.value.hint


def test_preprocess_refuses_an_image_that_would_explode_when_resized() -> None:
    with pytest.raises(ImageSetError, match="40000x1 pixels are too elongated"):
        preprocess(photo((40000, 1)), Preprocessing())


def test_normalize_is_x_over_255_minus_mean_over_std() -> None:
    preprocessing = Preprocessing(mean=(0.5, 0.25, 0.125), std=(0.5, 0.25, 2.0))
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 5), np.uint8)
    result = normalize(images, preprocessing)
    assert result.dtype == np.float32
    for channel in range(3):
        exact = images[:, channel] / 255.0 - preprocessing.mean[channel]
        expected = exact / preprocessing.std[channel]
        np.testing.assert_allclose(result[:, channel], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("L", "PNG"),
        ("1", "PNG"),
        ("P", "PNG"),
        ("RGBA", "PNG"),
        ("LA", "PNG"),
        ("CMYK", "JPEG"),
        ("L", "JPEG"),
    ],
)
def test_decode_converts_other_modes_as_torchvision_does(mode: str, kind: str) -> None:
    data = encoded(photo((20, 10), mode), kind)
    decoded = decode(data)
    assert decoded.mode == "RGB"
    assert np.array_equal(np.asarray(decoded), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.filterwarnings("error")
def test_decode_of_a_palette_with_transparency_gives_no_warning() -> None:
    data = encoded(photo((8, 8), "P"), transparency=bytes([0, 128, 255]))
    assert decode(data).mode == "RGB"


def test_decode_keeps_the_upper_byte_of_16_bit_gray() -> None:
    samples = np.array([[0, 255, 256], [0x7FFF, 0x8000, 0xFFFF]], np.uint16)
    pixels = np.asarray(decode(encoded(Image.fromarray(samples))))
    assert pixels[..., 0].tolist() == [[0, 0, 1], [127, 128, 255]]


def test_decode_applies_the_exif_orientation_where_it_is_asked_to() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: rotate by 90 degrees to view
    data = encoded(photo((20, 10)), "JPEG", exif=exif)
    stored, upright = decode(data), decode(data, exif=True)
    assert stored.size == (20, 10)
    assert np.array_equal(np.asarray(upright), np.rot90(np.asarray(stored), -1))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html>not found</html>", "no image of a known kind"),
        (encoded(photo((99, 99)), "JPEG")[:1500], "truncated"),
        (encoded(Image.new("F", (4, 4)), "TIFF"), "no known range"),
        (encoded(photo((9, 9)), "EPS"), "no image of a known kind"),
        (encoded(Image.new("1", (10000, 9000))), "10000x9000 pixels"),
    ],
    ids=["empty", "html", "truncated", "float", "postscript", "bomb"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decode_says_why_an_image_is_broken(data: bytes, reason: str) -> None:
    with pytest.raises(ImageSetError, match=reason):
        decode(data)
