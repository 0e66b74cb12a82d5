"""Windows that slide over pictures, against PyTorch's own folding and resizing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from convnext_edge.errors import ImageSetError
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import whole_picture
from convnext_edge.images.windows import Grid, classes_at, cover, starts

CLASSES = 5


# Windows and strides of mmsegmentation's configurations for ADE20K: 512 and 341, 640 and 426
@pytest.mark.parametrize(
    ("edge", "window", "expected"),
    [
        (512, 512, [0]),
        (513, 512, [0, 1]),
        (683, 512, [0, 171]),
        (853, 512, [0, 341]),
        (854, 512, [0, 341, 342]),
        (2048, 512, [0, 341, 682, 1023, 1364, 1536]),
        (2560, 640, [0, 426, 852, 1278, 1704, 1920]),
        (7, 1, [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_windows_are_two_thirds_of_an_edge_apart_and_end_with_it(
    edge: int, window: int, expected: list[int]
) -> None:
    assert starts(edge, window) == expected


@pytest.mark.parametrize("size", [(12, 12), (12, 31), (25, 12), (18, 20)])
def test_logits_are_the_mean_of_the_windows_that_see_a_pixel(size: tuple[int, int]) -> None:
    window, random = (12, 12), np.random.default_rng(0)
    grid = Grid(window, size)
    logits = random.standard_normal((len(grid.places), CLASSES, *window), np.float32)
    for start in range(0, len(logits), 2):
        grid.add(logits[start : start + 2])
    padded, seen = [], []
    for (top, left), answer in zip(grid.places, logits, strict=True):
        around = (left, size[1] - left - window[1], top, size[0] - top - window[0])
        padded.append(F.pad(torch.from_numpy(answer), around))
        seen.append(F.pad(torch.ones(window), around))
    assert int(torch.stack(seen).sum(0).min()) >= 1
    expected = torch.stack(padded).sum(0) / torch.stack(seen).sum(0)
    np.testing.assert_allclose(grid.mean(), expected, atol=1e-6)


def test_windows_are_cut_as_they_lie() -> None:
    pixels = np.arange(20 * 14 * 3, dtype=np.uint8).reshape(20, 14, 3)
    grid = Grid((12, 9), (20, 14))
    assert grid.places == [(0, 0), (0, 5), (8, 0), (8, 5)]
    found = grid.cut(pixels)
    assert found.shape == (4, 3, 12, 9)
    np.testing.assert_array_equal(found[3].transpose(1, 2, 0), pixels[8:, 5:])


def test_a_mean_of_some_windows_is_an_error() -> None:
    grid = Grid((4, 4), (4, 6))
    grid.add(np.zeros((1, CLASSES, 4, 4), np.float32))
    with pytest.raises(ValueError, match="1 of 2 windows are answered"):
        grid.mean()


@pytest.mark.parametrize("size", [(9, 11), (20, 33), (4, 5), (19, 1), (40, 11)])
def test_classes_are_those_of_logits_that_pytorch_resizes(size: tuple[int, int]) -> None:
    logits = torch.randn(1, CLASSES, 9, 11, generator=torch.Generator().manual_seed(0))
    resized = F.interpolate(logits, size, mode="bilinear", align_corners=False)[0]
    found = classes_at(logits[0].numpy(), size)
    best, second = resized.topk(2, dim=0).values
    clear = (best - second > 1e-5).numpy()  # of what is as good as equal, rounding decides
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(found[clear], resized.argmax(0).numpy()[clear])


@pytest.mark.parametrize(
    ("picture", "window", "expected"),
    [  # width and height; rows and columns: as mmcv's rescale_size of 2048x512 has them
        ((683, 512), (512, 512), (683, 512)),
        ((1600, 1200), (512, 512), (683, 512)),
        ((300, 400), (512, 512), (512, 683)),
        ((100, 100), (64, 96), (96, 96)),
        ((9, 100), (64, 96), (96, 1067)),
    ],
)
def test_a_picture_is_resized_until_a_window_just_fits(
    picture: tuple[int, int], window: tuple[int, int], expected: tuple[int, int]
) -> None:
    prepared = Preprocessing(window[0], 0.875, "bilinear", width=window[1])
    noise = np.random.default_rng(0).integers(0, 256, (picture[1], picture[0], 3), np.uint8)
    found = cover(noise, prepared)
    assert found.shape == (expected[1], expected[0], 3)
    seen = Image.fromarray(noise).resize(expected, Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(found, np.asarray(seen))


def test_a_gray_picture_keeps_its_one_channel() -> None:
    prepared = Preprocessing(8, mean=(0.5,), std=(0.5,))
    assert cover(np.zeros((4, 6, 1), np.uint8), prepared).shape == (8, 12, 1)


@pytest.mark.parametrize("turned", [False, True])
def test_pictures_of_very_many_windows_cannot_be_read(turned: bool) -> None:
    """A line of pixels would take minutes and gigabytes, as each of its pixels becomes a window."""
    preprocessing = Preprocessing(resolution=16, width=32)
    longest = (8, 64) if turned else (512, 16)
    assert whole_picture(Image.new("RGB", longest), preprocessing).shape == (*longest[::-1], 3)
    longer = (8, 65) if turned else (513, 16)
    with pytest.raises(ImageSetError, match="too elongated: over 16 windows long"):
        whole_picture(Image.new("RGB", longer), preprocessing)
