"""The pictures that the C++ sample reads, against Pillow: by libjpeg-turbo and libpng, and by stb_image."""

from __future__ import annotations

import struct
import subprocess
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.compiler_cache import compiler
from support.embedded import HARNESS, Pixels, downloaded
from support.needs import missing

from convnext_edge.commands.embed.cpp import SOURCES
from convnext_edge.images.decoding import decode

pytestmark = [pytest.mark.programs("c++"), pytest.mark.slow]
SAMPLE = SOURCES / "sample"
READERS = ("libraries", "stb_image")
ORIENTATION = 0x0112
BUFFER = 4096  # bytes of a frame, as the stand-in for a driver maps it
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")

Read = Callable[..., list[Pixels | str]]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Callable[[str], Read]:
    """What reads pictures in C++: by the libraries of the system, or by stb_image."""
    place = tmp_path_factory.mktemp("readers")

    @cache
    def compiled(source: Path, *flags: str) -> Path:
        made = place / f"{source.stem}.o"
        command = [*compiler(), "-std=c++17", *WARNINGS, f"-I{SAMPLE}", f"-I{SOURCES / 'include'}", *flags]
        subprocess.run([*command, "-c", source, "-o", made], check=True)
        return made

    @cache
    def built(reader: str) -> Path:
        common = [SAMPLE / f"{name}.cpp" for name in ("picture", "bmp", "exif", "camera")]
        parts = [compiled(source, "-DCONVNEXT_EDGE_JPEG") for source in (HARNESS / "pictures.cpp", *common)]
        libraries = ["-ljpeg", "-lpng"] if reader == "libraries" else []
        if libraries:
            if not all(Path("/usr/include", name).exists() for name in ("jpeglib.h", "png.h")):
                missing("needs libjpeg-turbo and libpng: apt install libjpeg-dev libpng-dev")
            parts += [compiled(SAMPLE / f"{name}.cpp") for name in ("jpeg_turbo", "png_libpng")]
        else:
            unpack_stb(place, pytestconfig.cache.mkdir("embed"))  # type: ignore[union-attr]
            flags = ("-DCONVNEXT_EDGE_STB_JPEG", "-DCONVNEXT_EDGE_STB_PNG", f"-isystem{place}")
            parts.append(compiled(SAMPLE / "stb.cpp", *flags))
        subprocess.run(["c++", *parts, *libraries, "-o", place / reader], check=True)
        return place / reader

    def of(reader: str) -> Read:
        def read(paths: list[Path], **environment: str) -> list[Pixels | str]:
            done = subprocess.run([built(reader), *paths], env=environment, check=True, capture_output=True)
            return unpacked(done.stdout)

        return read

    return of


def unpack_stb(place: Path, downloads: Path) -> None:
    """Put stb_image.h, of the archive that CMake would fetch, into a folder."""
    with tarfile.open(downloaded("stb", "any", downloads)) as archive:
        (name,) = (name for name in archive.getnames() if name.endswith("/stb_image.h"))
        data = archive.extractfile(name)
        assert data is not None
        (place / "stb_image.h").write_bytes(data.read())


def unpacked(answer: bytes) -> list[Pixels | str]:
    found: list[Pixels | str] = []
    while answer:
        width, height = struct.unpack_from("ii", answer)
        size = 3 * width * height if width else height
        data, answer = answer[8 : 8 + size], answer[8 + size :]
        pixels = np.frombuffer(data, np.uint8)
        found.append(pixels.reshape(height, width, 3) if width else data.decode())
    return found


def photograph(width: int, height: int) -> Image.Image:
    """As smooth as a photograph, in all colours."""
    colours = np.random.default_rng(width).integers(0, 256, (5, 7, 3), np.uint8)
    return Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC)


def save(place: Path, name: str, image: Image.Image, **how: object) -> Path:
    path = place / name
    image.save(path, **how)
    return path


def pythons(paths: list[Path]) -> list[Pixels]:
    return [np.asarray(decode(path.read_bytes(), exif=True)) for path in paths]


def photographs(place: Path) -> list[Path]:
    """JPEG of the kinds that cameras and programs write."""
    one = photograph(75, 53)
    paths = [
        save(place, f"{subsampling}-{quality}.jpg", one, quality=quality, subsampling=subsampling)
        for subsampling in (0, 1, 2)
        for quality in (50, 95)
    ]
    paths.append(save(place, "progressive.jpeg", photograph(64, 31), progressive=True))
    return [*paths, save(place, "grey.jpg", one.convert("L"))]


def test_jpeg_by_libjpeg_turbo_has_the_pixels_of_pillow_bit_by_bit(
    programs: Callable[[str], Read], tmp_path: Path
) -> None:
    paths = [*photographs(tmp_path), save(tmp_path, "ink.jpg", photograph(40, 30).convert("CMYK"))]
    for path, found, expected in zip(paths, programs("libraries")(paths), pythons(paths), strict=True):
        np.testing.assert_array_equal(found, expected, path.name)


def test_jpeg_by_stb_image_differs_by_few_steps(programs: Callable[[str], Read], tmp_path: Path) -> None:
    paths = photographs(tmp_path)
    for path, found, expected in zip(paths, programs("stb_image")(paths), pythons(paths), strict=True):
        steps = np.abs(np.asarray(found, int) - expected)
        assert steps.max() <= 6, path.name
        assert steps.mean() < 1, path.name


@pytest.mark.parametrize("reader", READERS)
def test_png_bmp_and_ppm_have_the_pixels_of_pillow_bit_by_bit(
    programs: Callable[[str], Read], tmp_path: Path, reader: str
) -> None:
    one = photograph(37, 21)
    alpha = Image.merge("RGBA", (*one.split(), one.convert("L")))
    wide = Image.fromarray((np.arange(37 * 21, dtype=np.uint16) * 83).reshape(21, 37))
    kinds = {
        "rgb": one,
        "rgba": alpha,
        "l": one.convert("L"),
        "la": alpha.convert("LA"),
        "1": one.convert("1"),
    }
    paths = [save(tmp_path, f"{name}.png", image) for name, image in kinds.items()]
    paths.append(save(tmp_path, "16.png", wide))
    paths.append(save(tmp_path, "p.png", one.quantize(11), transparency=3))
    paths += [save(tmp_path, f"{name}.bmp", kinds[name]) for name in ("rgb", "rgba", "l")]
    paths += [save(tmp_path, "p.bmp", one.quantize(11)), save(tmp_path, "rgb.ppm", one)]
    for path, found, expected in zip(paths, programs(reader)(paths), pythons(paths), strict=True):
        np.testing.assert_array_equal(found, expected, path.name)


@pytest.mark.parametrize("reader", READERS)
def test_photographs_are_turned_as_pillow_turns_them(
    programs: Callable[[str], Read], tmp_path: Path, reader: str
) -> None:
    paths = []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x010F] = "a camera"  # an entry before it
        exif[ORIENTATION] = orientation
        for ending in ("jpg", "png"):
            path = tmp_path / f"{orientation}.{ending}"
            paths.append(save(tmp_path, path.name, photograph(24, 16), exif=exif))
    turned = 0
    for path, found, expected in zip(paths, programs(reader)(paths), pythons(paths), strict=True):
        assert np.shape(found) == expected.shape, path.name
        assert np.abs(np.asarray(found, int) - expected).max() <= 6, path.name
        turned += expected.shape == (24, 16, 3)
    assert turned == 8  # orientations 5 to 8, of both kinds


@pytest.mark.parametrize("reader", READERS)
def test_damaged_pictures_are_refused(programs: Callable[[str], Read], tmp_path: Path, reader: str) -> None:
    one = photograph(75, 53)
    paths = []
    for name, data in (
        ("cut.jpg", save(tmp_path, "whole.jpg", one).read_bytes()[:-300]),
        ("cut.png", save(tmp_path, "whole.png", one).read_bytes()[:-300]),
        ("cut.bmp", save(tmp_path, "whole.bmp", one).read_bytes()[:-300]),
        ("cut.ppm", save(tmp_path, "whole.ppm", one).read_bytes()[:-300]),
        ("huge.bmp", b"BM" + struct.pack("<IIIIiiHH24x", 0, 0, 54, 40, 2**30, 2**30, 1, 24)),
        ("none.jpg", b"\xff\xd8\xff"),
        ("other.gif", b"GIF89a"),
        ("few.bmp", save(tmp_path, "one.bmp", one.convert("1")).read_bytes()),
    ):
        (tmp_path / name).write_bytes(data)
        paths.append(tmp_path / name)
    said = programs(reader)([*paths, tmp_path / "absent.jpg", tmp_path])
    words = ["decoded", "decoded", "ends early", "ends early", "x1073741824 pixels", "decoded", "is no JPEG"]
    words += ["1 bits a pixel", "cannot be read", "cannot be read"]
    for path, text, word in zip([*paths, "absent", "folder"], said, words, strict=True):
        assert isinstance(text, str), path
        assert word in text, (path, text)


# A camera: a file with frames, and a stand-in for the driver that says what they are


def test_frames_of_a_camera_have_the_colours_of_pillow(
    programs: Callable[[str], Read], tmp_path: Path
) -> None:
    shades = photograph(16, 8).convert("YCbCr")
    y, u, v = (np.asarray(channel) for channel in shades.split())
    pairs = np.stack([y[:, ::2], u[:, ::2], y[:, 1::2], v[:, ::2]], axis=-1)
    (full,) = filmed(programs, tmp_path, pairs.tobytes(), "YUYV", QUANTIZATION="1")
    shared = np.stack([y, u[:, ::2].repeat(2, axis=1), v[:, ::2].repeat(2, axis=1)], axis=-1)
    expected = np.asarray(Image.fromarray(shared, "YCbCr").convert("RGB"), int)
    assert np.abs(np.asarray(full, int) - expected).max() <= 1
    limits = bytes([16, 128, 235, 128]) * (8 * 8)  # black and white of the limited range, which is usual
    (limited,) = filmed(programs, tmp_path, limits, "YUYV")
    np.testing.assert_array_equal(np.asarray(limited)[0, :2], [[0, 0, 0], [255, 255, 255]])
    colours = np.asarray(photograph(16, 8))
    (plain,) = filmed(programs, tmp_path, colours.tobytes(), "RGB3")
    np.testing.assert_array_equal(plain, colours)
    jpeg = save(tmp_path, "frame.jpg", photograph(16, 8))
    (decoded,) = filmed(programs, tmp_path, jpeg.read_bytes(), "MJPG")
    np.testing.assert_array_equal(decoded, pythons([jpeg])[0])


def test_a_camera_that_cannot_be_read_says_why(programs: Callable[[str], Read], tmp_path: Path) -> None:
    for kind, frame, said in (
        ("H264", b"", "gives no RGB24, YUYV or MJPEG"),
        ("RGB3", b"short", "gives a frame that ends early"),
        ("none", b"", "is no camera"),
    ):
        (text,) = filmed(programs, tmp_path, frame, kind)
        assert isinstance(text, str)
        assert said in text


def filmed(
    programs: Callable[[str], Read], place: Path, frame: bytes, kind: str, **more: str
) -> list[Pixels | str]:
    """The newest frame of a camera of 16x8 pixels that gave an older one before."""
    older = bytes(BUFFER)
    (place / "video0").write_bytes(older + frame.ljust(BUFFER, b"\0"))
    return programs("libraries")([place / "video0"], KIND=kind, BYTES=str(len(frame)), **more)
