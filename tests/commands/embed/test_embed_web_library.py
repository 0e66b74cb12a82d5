"""The library of embedded pages in Node, against Python: the same squares, and the same files refused."""

from __future__ import annotations

import hashlib
import io
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from support.embedded import MANIFEST, noise, packed
from support.embedded_apps import (
    CROPS,
    DAMAGED_MANIFESTS,
    FILTERS,
    FRAMES,
    SIZES,
    early,
    frame_lines,
    with_manifest,
)
from support.embedded_web import FIXTURES, KINDS, hasty_engine, page_folder, png
from support.harness import Harness
from support.needs import program

from convnext_edge.artifacts.store import open_artifact
from convnext_edge.errors import ImageSetError
from convnext_edge.images.decoding import decode
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import normalize, preprocess

pytestmark = pytest.mark.slow
Node = Callable[..., bytes]

RESOLUTION = 32  # of the demo
PNGS = [
    (colour, depth, interlaced)
    for colour, (_, depths) in KINDS.items()
    for depth in depths
    for interlaced in (0, 1)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_folder(hasty_engine(tmp_path_factory.getbasetemp()), tmp_path_factory)


@pytest.fixture(scope="module")
def try_node() -> Iterator[Harness]:
    harness = Harness([program("node"), FIXTURES / "library.js"])
    yield harness
    harness.close()


@pytest.fixture(scope="module")
def node(try_node: Harness) -> Node:
    """Calls what must succeed, and gives what it writes."""

    def call(folder: Path, mode: str, *options: object, given: bytes = b"") -> bytes:
        done = try_node(folder, mode, *options, given=given)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return call


def changed(folder: Path, place: Path, **values: object) -> Path:
    """A folder without the page in which keys of the manifest have other values."""
    with_manifest(folder / "model", place / "model", **values)
    shutil.copytree(folder / "library", place / "library")
    return place


@pytest.mark.parametrize("filtered", FILTERS)
def test_squares_are_those_of_pillow_bit_by_bit(
    folder: Path, node: Node, tmp_path: Path, filtered: str
) -> None:
    images = [noise(width, height) for width, height in SIZES]
    for crop in CROPS:
        copy = changed(folder, tmp_path / str(crop), crop=crop, interpolation=filtered)
        found = np.frombuffer(node(copy, "squares", given=packed(images)), np.uint8)
        squares = found.reshape(len(SIZES), RESOLUTION, RESOLUTION, 3)
        prepared = early(RESOLUTION, crop, filtered)
        for image, square in zip(images, squares, strict=True):
            expected = preprocess(Image.fromarray(image), prepared)
            np.testing.assert_array_equal(square, expected, f"{image.shape} {crop}")


@pytest.mark.parametrize("keys", FRAMES, ids=str)
def test_pixels_of_any_frame_are_those_of_pillow_bit_by_bit(
    folder: Path, node: Node, tmp_path: Path, keys: dict[str, Any]
) -> None:
    images = [noise(width, height) for width, height in SIZES]
    copy = changed(folder, tmp_path, **frame_lines(keys))
    prepared = Preprocessing(RESOLUTION, **keys)
    found = np.frombuffer(node(copy, "squares", given=packed(images)), np.uint8)
    for image, pixels in zip(images, found.reshape(len(SIZES), *prepared.size, 3), strict=True):
        np.testing.assert_array_equal(pixels, preprocess(Image.fromarray(image), prepared), str(image.shape))


def test_pictures_are_turned_as_exif_says(folder: Path, node: Node) -> None:
    image = noise(5, 3)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = Image.fromarray(image)
        stored.info["exif"] = exif.tobytes()
        stored.getexif()[0x0112] = orientation
        expected = np.asarray(ImageOps.exif_transpose(stored))
        found = np.frombuffer(node(folder, "turned", orientation, given=packed([image])), np.uint8)
        np.testing.assert_array_equal(found.reshape(*expected.shape[:2], 4)[..., :3], expected)


def test_inputs_of_the_engine_are_those_of_python_bit_by_bit(
    folder: Path, node: Node, tmp_path: Path
) -> None:
    image = noise(60, 47)
    prepared = open_artifact(next((folder / "model").glob("*.onnx"))).description.preprocessing
    square = preprocess(Image.fromarray(image), prepared).transpose(2, 0, 1)[None]
    floats = np.frombuffer(node(folder, "planes", given=packed([image])), np.float32)
    np.testing.assert_array_equal(floats, normalize(square, prepared).ravel())
    raw = changed(folder, tmp_path, input="uint8")
    np.testing.assert_array_equal(
        np.frombuffer(node(raw, "planes", given=packed([image])), np.uint8), square.ravel()
    )


def test_images_that_cannot_be_resized_are_refused_in_the_words_of_python(
    folder: Path, try_node: Harness, tmp_path: Path
) -> None:
    long = noise(1, 200_000)
    done = try_node(changed(folder, tmp_path, crop=0.875), "squares", given=packed([long]))
    with pytest.raises(ImageSetError) as refused:
        preprocess(Image.fromarray(long), Preprocessing(RESOLUTION, 0.875))
    assert (done.returncode, done.stderr.decode()) == (1, f"ImageError: {refused.value.message}\n")


def test_digests_are_sha256(folder: Path, node: Node) -> None:
    data = np.random.default_rng(0).bytes(300_000)
    lengths = [*range(140), 1000, 65_536, 300_000]
    found = node(folder, "digests", *lengths, given=data).decode().split()
    assert found == [hashlib.sha256(data[:length]).hexdigest() for length in lengths]


@pytest.mark.parametrize(("colour", "depth", "interlaced"), PNGS)
def test_png_files_of_every_kind_are_opened_as_by_pillow(
    folder: Path, node: Node, colour: int, depth: int, interlaced: int
) -> None:
    data = png(colour, depth, interlaced)
    found = node(folder, "png", given=data)
    width, height = struct.unpack("II", found[:8])
    pixels = np.frombuffer(found[8:], np.uint8).reshape(height, width, 4)
    np.testing.assert_array_equal(pixels[..., :3], np.asarray(decode(data)))
    if colour in (4, 6):
        np.testing.assert_array_equal(pixels[..., 3], np.asarray(Image.open(io.BytesIO(data)))[..., -1])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-20], "ends within"),
        (lambda data: data[:20], "ends within IHDR"),
        (lambda data: data[:33], "has no end"),
        (lambda data: data.replace(b"IHDR\0\0\0\x0d", b"IHDR\0\0\0\0"), "values out of range"),
        (lambda data: data.replace(b"IHDR\0\0\0\x0d", b"IHDR\x7f\0\0\0"), "more than 89478485 in all"),
        (lambda data: data.replace(b"IHDR\0\0\0\x0d", b"IHDR\0\0\0\x0e"), "bytes of pixels in place of"),
        (lambda data: data.replace(b"IDAT\x78", b"IDAT\x79"), "cannot be decompressed"),
        (lambda data: data.replace(b"PLTE", b"plte"), "has no palette"),
    ],
    ids=["cut", "in-header", "headers-only", "no-width", "vast", "too-wide", "garbled", "no-palette"],
)
def test_damaged_png_files_are_refused(
    folder: Path, try_node: Harness, damage: Callable[[bytes], bytes], said: str
) -> None:
    data = png(3, 8, 0)
    assert damage(data) != data
    done = try_node(folder, "png", given=damage(data))
    assert done.returncode == 1
    assert done.stderr.decode().startswith("ImageError: ")
    assert said in done.stderr.decode()


def test_the_exif_orientation_is_found(folder: Path, node: Node) -> None:
    for orientation in (1, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = io.BytesIO()
        Image.fromarray(noise(9, 5)).save(data, "JPEG", exif=exif)
        assert node(folder, "orientation", given=data.getvalue()) == str(orientation).encode()
    assert node(folder, "orientation", given=png(2, 8, 0)) == b"1"


@pytest.mark.parametrize(("values", "said"), DAMAGED_MANIFESTS, ids=lambda value: str(value)[:60])
def test_a_damaged_manifest_is_refused(
    folder: Path, try_node: Harness, tmp_path: Path, values: dict[str, str], said: str
) -> None:
    manifest = changed(folder, tmp_path, **values) / "model" / MANIFEST
    done = try_node(folder, "manifest", given=manifest.read_bytes())
    assert (done.returncode, said in done.stderr.decode()) == (1, True), done.stderr
