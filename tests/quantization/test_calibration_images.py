"""Calibration images: each is decoded once, although a sample of them is read twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from convnext_edge.images import batches
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.quantization.calibration_images import CalibrationImages

PREPROCESSING = Preprocessing(resolution=32)


def make_images(folder: Path, count: int) -> ImageSet:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return open_image_set(str(folder))


def read(images: ImageSet, sample: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The sample, and all images."""
    job: Any = SimpleNamespace(
        images=images, source=SimpleNamespace(preprocessing=PREPROCESSING), input_type="float32", batch=4
    )
    reader = CalibrationImages(job, sample=sample)
    return torch.cat([*reader.read_sample()]), torch.cat([*reader.read_all()])


def decoded(images: ImageSet) -> torch.Tensor:
    found = images.batches(PREPROCESSING, batch=3, dtype="float32")
    return torch.from_numpy(np.concatenate([batch.images for batch in found]))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    """How often each image is decoded, by its content."""
    counts: Counter[bytes] = Counter()
    decode = batches.decode

    def count(content: bytes, channels: int, *, exif: bool) -> Any:
        counts[content] += 1
        return decode(content, channels, exif=exif)

    monkeypatch.setattr(batches, "decode", count)
    return counts


@pytest.mark.parametrize("count", [5, 16, 37])
def test_the_sample_and_all_images_come_in_order_and_are_decoded_once(
    tmp_path: Path, count: int, counted: Counter[bytes]
) -> None:
    images = make_images(tmp_path / "set", count)
    expected = decoded(images.subset(min(16, count), seed=0)), decoded(images)
    counted.clear()
    sample, everything = read(images, 16)
    assert torch.equal(sample, expected[0])
    assert torch.equal(everything, expected[1])
    assert set(counted.values()) == {1}
    assert len(counted) == count


def test_all_images_can_be_read_without_the_sample(tmp_path: Path) -> None:
    images = make_images(tmp_path / "set", 20)
    job: Any = SimpleNamespace(
        images=images, source=SimpleNamespace(preprocessing=PREPROCESSING), input_type="float32", batch=4
    )
    assert torch.equal(torch.cat([*CalibrationImages(job, sample=16).read_all()]), decoded(images))


@pytest.mark.parametrize("place", ["sample", "end"])
def test_a_broken_image_is_left_out_and_told_of_once(tmp_path: Path, place: str) -> None:
    """One of a hundred may be broken, also where it is one of the sample's sixteen."""
    images = make_images(tmp_path / "set", 100)
    sampled = [entry.name for entry in images.subset(16, seed=0).entries]
    broken = sampled[3] if place == "sample" else images.entries[-1].name
    kept = [entry.name for entry in images.entries if entry.name != broken]
    expected = dict(zip([entry.name for entry in images.entries], decoded(images), strict=True))
    (tmp_path / "set" / broken).write_bytes(b"no image")
    images = open_image_set(str(tmp_path / "set"))
    sample, everything = read(images, 16)
    assert torch.equal(everything, torch.stack([expected[name] for name in kept]))
    assert torch.equal(sample, torch.stack([expected[name] for name in sampled if name != broken]))
    assert [image.name for image in images.skipped] == [broken]
