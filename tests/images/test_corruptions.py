"""The corruptions of ImageNet-C against other implementations of them, and against arithmetic by hand.

`library.npz` and `library.json` were made from a picture in the public domain (NASA's of E. Collins) by the
package imagecorruptions (imagecorruptions-imaug 1.1.5), which comes from the authors' own code. Its elastic
transform has other severities: that one was made with OpenCV and SciPy as the authors call them, from random
numbers of NumPy with the severity as seed.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from convnext_edge.errors import UsageError
from convnext_edge.images.corruptions.corrupting import CELLS, CHANGES, check_corruptible, corrupt
from convnext_edge.images.corruptions.severities import CIFAR, IMAGENET, KINDS, TINY_IMAGENET, published_for

FIXTURES = Path(__file__).parents[1] / "fixtures/corruptions"
LIBRARY = dict(np.load(FIXTURES / "library.npz"))
PICTURE = LIBRARY.pop("picture")  # (96, 96, 3) bytes
DISTANCES: dict[str, tuple[float, float]] = json.loads((FIXTURES / "library.json").read_text())
DRAWS = 12  # pictures of each cell that are compared by their distance


def corrupted(kind: str, severity: int, seed: int = 0) -> NDArray[np.uint8]:
    """The picture with the severities of ImageNet-C, whatever its size."""
    value = IMAGENET.values[kind][severity - 1]
    changed = CHANGES[kind](PICTURE / 255, value, np.random.default_rng(seed))
    return (np.clip(changed, 0, 1) * 255 + 1e-6).astype(np.uint8)


def distance(kind: str, severity: int) -> float:
    """The mean squared change of a value, in bytes, over draws."""
    changes = [corrupted(kind, severity, seed) - PICTURE.astype(float) for seed in range(DRAWS)]
    return float(np.mean(np.square(changes)))


@pytest.mark.parametrize("cell", sorted(LIBRARY))
def test_what_is_not_random_is_what_another_library_makes(cell: str) -> None:
    kind, _, severity = cell.rpartition("_")
    seed = int(severity) if kind == "elastic_transform" else 0
    difference = np.abs(corrupted(kind, int(severity), seed).astype(int) - LIBRARY[cell])
    assert difference.max() <= 1  # theirs are computed in float32, and cut off


@pytest.mark.parametrize(
    "kind",
    ["gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "motion_blur", "snow", "fog"],
)
def test_what_is_random_changes_a_picture_as_much_as_another_library_does(kind: str) -> None:
    for severity in (1, 3, 5):
        expected, spread = DISTANCES[f"{kind} {severity}"]
        # 20 of its pictures against ours; three deviations of the difference of the two means
        allowed = 3 * spread * (1 / 20 + 1 / DRAWS) ** 0.5 + 0.02 * expected
        assert distance(kind, severity) == pytest.approx(expected, abs=allowed)


def test_frost_covers_as_much_of_a_picture_as_photographs_of_frost_do() -> None:
    for severity in (1, 3, 5):
        expected, spread = DISTANCES[f"frost {severity}"]
        assert distance("frost", severity) == pytest.approx(expected, abs=spread)


def test_noise_has_the_published_strength() -> None:
    gray = np.full((64, 64, 3), 0.5)
    random = np.random.default_rng(0)
    assert CHANGES["gaussian_noise"](gray, 0.08, random).std() == pytest.approx(0.08, rel=0.03)
    counted = CHANGES["shot_noise"](gray, 60, random)
    assert counted.var() == pytest.approx(0.5 / 60, rel=0.05)  # of a Poisson variable, its mean
    hit = CHANGES["impulse_noise"](gray, 0.27, random)
    assert (hit != 0.5).mean() == pytest.approx(0.27, abs=0.01)
    assert hit[hit != 0.5].mean() == pytest.approx(0.5, abs=0.03)


def test_glass_takes_values_of_neighbours_only() -> None:
    numbers = np.arange(32 * 32, dtype=float).reshape(32, 32, 1).repeat(3, axis=2)
    # Nothing is smoothed: each value is its own, or one row up, or one column to the left, or both.
    moved = np.round(CHANGES["glass_blur"](numbers / 2048, (0.01, 1, 1), np.random.default_rng(0)) * 255)
    own = np.floor(numbers / 2048 * 255)
    steps = [own, np.roll(own, 1, 0), np.roll(own, 1, 1), np.roll(own, (1, 1), (0, 1))]
    assert np.min([np.abs(moved - step) for step in steps], axis=0).max() <= 1
    assert (moved != own).mean() > 0.2


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (48, 80)])
def test_every_cell_keeps_shape_and_type_and_changes_images(size: tuple[int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 3, *size), np.uint8)
    assert len(CELLS) == 75
    for kind, severity in CELLS:
        made = corrupt(images, kind, severity, names=["image"])
        assert made.shape == images.shape
        assert made.dtype == np.uint8
        assert (made != images).any()


def test_an_image_is_changed_alike_in_any_batch_and_otherwise_with_another_seed() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), np.uint8)
    together = corrupt(images, "snow", 3, names=["a", "b", "c"])
    alone = corrupt(images[1:2], "snow", 3, names=["b"])
    np.testing.assert_array_equal(together[1:2], alone)
    assert (corrupt(images[1:2], "snow", 3, names=["b"], seed=1) != alone).any()


def test_small_images_get_the_severities_of_small_images() -> None:
    assert [published_for(edge) for edge in (32, 64, 224, 384)] == [CIFAR, TINY_IMAGENET, IMAGENET, IMAGENET]
    assert set(CIFAR.values) == set(TINY_IMAGENET.values) == set(KINDS)
    assert all(len(values) == 5 for published in (CIFAR, IMAGENET) for values in published.values.values())


@pytest.mark.parametrize(("channels", "size"), [(1, (32, 32)), (3, (8, 64))])
def test_images_that_cannot_be_corrupted_are_refused(channels: int, size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="corruptions"):
        check_corruptible(channels, size)
