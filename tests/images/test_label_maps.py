"""Sets with label maps: which file belongs to which picture, and what its bytes stand for."""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convnext_edge.errors import ImageSetError
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.label_maps import numbered
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.preprocessing import Preprocessing

SIZE = (6, 4)  # width, height
MAP = np.array([[0, 0, 1, 1, 2, 255]] * 2 + [[3, 3, 3, 3, 3, 3]] * 2, np.uint8)
CLASSES = np.where(MAP == 255, -1, MAP.astype(int))
WHOLE = Preprocessing(4, 1.0, width=6, resize_mode="squash")


def fill(root: Path, part: str = "", *, names: tuple[str, ...] = ("a", "b"), mode: str = "L") -> Path:
    """A set of black pictures with one label map for all."""
    for folder in ("images", "annotations"):
        (root / folder / part).mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", SIZE).save(root / "images" / part / f"{name}.jpg")
        codes = Image.fromarray(MAP)
        if mode == "P":
            codes.putpalette([0, 0, 0] * 256)
        codes.convert(mode).save(root / "annotations" / part / f"{name}.png")
    return root


def gray(depth: int) -> bytes:
    """A black PNG of so many bits a pixel, by the specification: Pillow writes none of 2 or 4."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    width, height = SIZE
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))
    rows = (b"\0" + bytes(-(-width * depth // 8))) * height
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def labels(images: ImageSet, preprocessing: Preprocessing = WHOLE) -> np.ndarray:
    (batch,) = images.batches(preprocessing, batch=8, dtype="uint8")
    return batch.labels


@pytest.mark.parametrize("place", ["", "images"])
def test_pictures_have_the_maps_of_their_names(place: str, tmp_path: Path) -> None:
    found = open_image_set(fill(tmp_path) / place)
    assert (len(found), found.mapped, found.labelled) == (2, True, True)
    assert [entry.label_map for entry in found.entries] == ["annotations/a.png", "annotations/b.png"]
    np.testing.assert_array_equal(labels(found), [CLASSES, CLASSES])


def test_a_part_of_a_set_has_the_maps_of_that_part(tmp_path: Path) -> None:
    """The folders of ADE20K, as its archive ADEChallengeData2016.zip has them."""
    for part, names in (("training", ("a",)), ("validation", ("b", "c"))):
        fill(tmp_path, part, names=names)
    found = open_image_set(tmp_path / "images" / "validation")
    assert [entry.name for entry in found.entries] == ["images/validation/b.jpg", "images/validation/c.jpg"]
    assert labels(found).shape == (2, 4, 6)
    with pytest.raises(ImageSetError, match="2 folders") as refused:
        open_image_set(tmp_path)
    assert str(tmp_path / "images" / "validation") in (refused.value.hint or "")


def test_an_archive_holds_maps_too(tmp_path: Path) -> None:
    fill(tmp_path / "set")
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted((tmp_path / "set").rglob("*.*")):
            file.write(path, path.relative_to(tmp_path / "set").as_posix())
    found, folder = open_image_set(archive), open_image_set(tmp_path / "set")
    assert found.digest == folder.digest
    np.testing.assert_array_equal(labels(found), labels(folder))


def test_the_digest_changes_with_a_map(tmp_path: Path) -> None:
    before = open_image_set(fill(tmp_path)).digest
    Image.fromarray(np.zeros_like(MAP)).save(tmp_path / "annotations" / "a.png")
    assert open_image_set(tmp_path).digest != before


def test_the_numbers_of_a_palette_are_the_classes(tmp_path: Path) -> None:
    np.testing.assert_array_equal(labels(open_image_set(fill(tmp_path, mode="P")))[0, 0], [0, 0, 1, 1, 2, -1])


@pytest.mark.parametrize(("zero", "expected"), [("class", [0, 1, 149, -1]), ("none", [-1, 0, 148, -1])])
def test_zero_is_the_first_class_or_none(zero: str, expected: list[int]) -> None:
    codes = np.array([0, 1, 149, 255], np.uint8)
    np.testing.assert_array_equal(numbered(codes, zero), expected)  # type: ignore[arg-type]


def test_a_map_goes_the_way_of_its_picture(tmp_path: Path) -> None:
    images = open_image_set(fill(tmp_path))
    # the shorter edge stays 4, and the middle 4 of 6 columns are left
    cropped = labels(images, Preprocessing(4, 1.0))[0]
    np.testing.assert_array_equal(cropped, MAP[:, 1:5])
    # 6 x 4 become 8 x 5, with one row above and two below that are of no class
    padded = labels(images, replace(WHOLE, resolution=8, width=None, resize_mode="pad"))[0]
    assert padded.shape == (8, 8)
    assert (padded[[0, -2, -1]] == -1).all()
    assert (padded[4:6] == 3).all()
    # by the nearest pixel: nothing between two classes comes up
    larger = labels(images, replace(WHOLE, resolution=8, width=12))[0]
    np.testing.assert_array_equal(larger, CLASSES.repeat(2, 0).repeat(2, 1))


def test_a_picture_without_a_map_is_named(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "annotations" / "b.png").unlink()
    with pytest.raises(ImageSetError, match=r"1 of 2 pictures have no label map, such as images/b\.jpg"):
        open_image_set(tmp_path)


@pytest.mark.parametrize("place", ["annotations/trimaps", "annotations"])
def test_what_is_beside_pictures_and_no_label_map_of_theirs_is_no_picture(
    place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As Oxford-IIIT Pet has it, and panoptic COCO."""
    fill(tmp_path)
    (tmp_path / place).mkdir(exist_ok=True)
    for name in "ab":
        (tmp_path / "annotations" / f"{name}.png").rename(tmp_path / place / f"{name}_trimap.png")
    with caplog.at_level("INFO"):
        found = open_image_set(tmp_path / "images")
    assert [entry.name for entry in found.entries] == ["a.jpg", "b.jpg"]
    assert not found.labelled
    assert "are no label maps of" in caplog.text
    with pytest.raises(ImageSetError, match="no classes"):
        open_image_set(tmp_path)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda path: Image.new("L", (5, 4)).save(path), "its label map is 5x4, not 6x4 as the picture"),
        (lambda path: Image.new("RGB", SIZE).save(path), "its label map is of mode RGB, not of L or P"),
        (lambda path: path.write_bytes(gray(4)), "its label map has 4 bits a pixel, not 8"),
        (lambda path: path.write_bytes(gray(2)), "its label map has 2 bits a pixel, not 8"),
        (lambda path: path.write_bytes(gray(1)), "its label map is of mode 1"),
        (lambda path: path.write_bytes(gray(16)), "its label map is of mode I;16"),
        (lambda path: path.write_bytes(b"no picture"), "its label map cannot be decoded"),
    ],
    ids=["size", "colours", "4 bits", "2 bits", "1 bit", "16 bits", "damaged"],
)
def test_what_is_no_map_of_its_picture_is_left_out_with_the_reason(
    damage: object, why: str, tmp_path: Path
) -> None:
    fill(tmp_path, names=tuple("abc"))
    damage(tmp_path / "annotations" / "b.png")  # type: ignore[operator]
    found = open_image_set(tmp_path)
    with pytest.raises(ImageSetError, match=why):
        labels(found)  # one of three is more than the hundredth that may be broken
