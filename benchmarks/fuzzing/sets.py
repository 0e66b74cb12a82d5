"""Damaged images, and archives of them."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from functools import cache

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from benchmarks.fuzzing.edits import damaged

Files = dict[str, bytes]

FORMATS = {
    "JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "GIF": ".gif", "TIFF": ".tif", "PPM": ".ppm",  # noqa: E501
}  # fmt: skip
MODES = ("RGB", "L", "P", "RGBA", "CMYK", "1", "I;16", "I", "F", "LA", "YCbCr")
EDGES = (0, 1, 2**15, 2**16 - 1, 2**31 - 1)
NUMBERS = ("0", "1", "-1", "2", "9" * 25, "9" * 5000, "1.5", "nan", "n01440764", "", "\u0663", "\u00b2")
NAMES = ("1.png", "2.png", "1", "2", "nowhere.png", "../1.png", "a/1.png", "x" * 300)


@cache
def photo(form: str = "PNG", mode: str = "RGB") -> bytes:
    """Return a small photograph of noise in a format; of a mode that the format lacks, RGB."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    buffer = io.BytesIO()
    try:
        image = Image.fromarray((pixels[..., 0] << 4).astype(np.uint16)) if mode == "I;16" else None
        (image or Image.fromarray(pixels).convert(mode)).save(buffer, form)
    except (OSError, ValueError, KeyError):
        return photo(form)
    return buffer.getvalue()


@st.composite
def pictures(draw: st.DrawFn) -> bytes:
    """Return an image with damaged bytes, or one whose header claims another size."""
    form = draw(st.sampled_from(sorted(FORMATS)))
    whole = photo(form, draw(st.sampled_from(MODES)))
    if draw(st.integers(0, 3)):
        return draw(damaged(whole))
    return resized(whole, form, draw(st.sampled_from(EDGES)), draw(st.sampled_from(EDGES)))


def resized(whole: bytes, form: str, width: int, height: int) -> bytes:
    """Return a picture whose header claims these edges; unchanged for formats that keep them elsewhere."""
    content = bytearray(whole)
    match form:
        case "PNG":
            content[16:24] = struct.pack(">II", width, height)
            content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
        case "BMP":
            content[18:26] = struct.pack("<II", width, height)
        case "GIF":
            content[6:10] = struct.pack("<HH", width % 65536, height % 65536)
        case "JPEG":
            at = content.find(b"\xff\xc0") + 5
            content[at : at + 4] = struct.pack(">HH", height % 65536, width % 65536)
        case "PPM":
            content = bytearray(content.replace(b"12 9", f"{width} {height}".encode(), 1))
    return bytes(content)


# --- archives --------------------------------------------------------------------------------------


def members() -> Files:
    """Return what the archives hold."""
    return {"cat/1.png": photo(), "dog/2.png": photo("PNG", "L"), "dog/3.jpg": photo("JPEG")}


@cache
def tar() -> bytes:
    """Return an archive of images, with a long name in a PAX header."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in {**members(), f"dog/{'x' * 120}é.png": photo()}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    """Return a tar with damaged bytes, or with damaged headers whose checksums are right."""
    if draw(st.booleans()):
        return draw(damaged(tar()))
    content = bytearray(tar())
    starts = [at for at in range(0, len(content), 512) if content[at + 257 : at + 262] == b"ustar"]
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.sampled_from(starts))
        field, length = draw(
            st.sampled_from(((0, 100), (124, 12), (124, 12), (156, 1), (345, 155), (100, 8)))
        )
        text = draw(st.sampled_from(TAR_FIELDS))
        content[at + field : at + field + length] = text[:length].ljust(length, b"\0")
        content[at + 148 : at + 156] = b" " * 8
        content[at + 148 : at + 156] = f"{sum(content[at : at + 512]):06o}\0 ".encode()
    return bytes(content)


TAR_FIELDS = (
    b"", b"../../evil.png", b"/evil.png", b"\xff\xfe.png", b"00000000010\0", b"77777777777\0", b"-0000000001\0",  # noqa: E501
    b"\x80\0\0\0\0\0\0\x7f\xff\xff\xff\xff", b"\xff" * 12, b"x", b"L", b"g", b"S", b"2", b"5", b"\x00" * 4,
)  # fmt: skip


@st.composite
def tgzs(draw: st.DrawFn) -> bytes:
    """Return a compressed tar, damaged inside or outside."""
    if draw(st.booleans()):
        return draw(damaged(gzip.compress(tar(), mtime=0)))
    return gzip.compress(draw(tars()), mtime=0)


@st.composite
def zips(draw: st.DrawFn) -> bytes:
    """Return a zip that is damaged, or whose members have odd names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(
        buffer, "w", draw(st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    ) as made:
        for name, content in members().items():
            made.writestr(name, content)
        for name in draw(st.lists(st.sampled_from(ZIP_NAMES), max_size=2, unique=True)):
            made.writestr(name, photo())
    return draw(damaged(buffer.getvalue())) if draw(st.booleans()) else buffer.getvalue()


ZIP_NAMES = (
    "../1.png",
    "/1.png",
    "C:\\1.png",
    "cat/1.png/2.png",
    "\u202e.png",
    "cat\n.png",
    "a/b/c/d/e/f/g/1.png",
)
