"""Tar archives that were made to take memory or time are refused at once, whatever their headers claim."""

from __future__ import annotations

import gzip
import io
import resource
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.image_sets import refusal
from support.places import TESTS

from convnext_edge.errors import ImageSetError
from convnext_edge.images import archives
from convnext_edge.images.opening import open_image_set

EMPTY = bytes(512)
MIB = 2**20
RECORD = b"6 a=b\n"


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """The block of a member, with whatever size."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = b"%011o\0" % size if 0 <= size < 8**11 else (size % 2**96).to_bytes(12, "big")
    if size >= 8**11:
        block[124] |= 0x80
    block[156:157] = kind
    return sealed(block)


def sealed(block: bytes) -> bytes:
    """The block with its checksum."""
    blank = block[:148] + b" " * 8 + block[156:]
    return bytes(blank[:148] + b"%06o\0 " % sum(blank) + blank[156:])


def blocks(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def record(keyword: str, value: str) -> bytes:
    """A record of a PAX header; its length counts its own digits."""
    rest = f" {keyword}={value}\n".encode()
    return b"%d%b" % (len(rest) + 2 + (len(rest) > 97), rest)


def pax(*records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    content = b"".join(records)
    return header("pax", len(content), kind) + blocks(content)


MEMBER = header("a.png", 0)
ATTACKS = {
    "a PAX header of 3 GiB": (header("pax", 3 * 2**30, tarfile.XHDTYPE), "a header claims 3221225472 bytes"),
    "a name of 3 GiB": (header("name", 3 * 2**30, b"L"), "a header claims 3221225472 bytes"),
    "a name of 10 KiB": (header("name", 10_000, b"L") + blocks(b"x" * 10_000) + MEMBER, "is too long"),
    "many records": (pax(*[record(f"key{n}", "x") for n in range(200)]) + MEMBER, "more than 100 records"),
    "the same record again": (pax(RECORD * 5000) + MEMBER, "more than 100 records"),
    "many digits": (pax(b"1" * 100_000) + MEMBER, "64 digits in a row"),
    "global records": (
        b"".join(pax(record(f"key{n}", "x"), kind=tarfile.XGLTYPE) for n in range(110)) + MEMBER,
        "a.png is too long",
    ),
    "headers of headers": (pax() * 2000, "headers of one member have more than"),
    "headers of 2 MiB": (pax(MIB * b"x") + pax(MIB * b"x") + MEMBER, "a header claims 1048576 bytes"),
    "an endless sparse map": (
        sealed(header("a.png", 0, b"S")[:482] + b"\1" + bytes(29)) + (bytes(504) + b"\1" + bytes(7)) * 3000,
        "headers of one member have more than",
    ),
    "a sparse member": (pax(record("GNU.sparse.map", "0,1")) + MEMBER, "is sparse"),
    "a negative size": (header("a.png", -512), "a.png claims -512 bytes"),
    "a negative size of PAX": (pax(record("size", "-1024")) + MEMBER, "a.png claims -1024 bytes"),
    "a size beyond the end": (header("a.png", 10_000), "ends behind the end of the file"),
    "a size beyond 64 bits": (header("a.png", 2**64), "ends behind the end of the file"),
    "a damaged header behind others": (MEMBER + b"\xff" * 512, "there is no header at byte 512"),
    "half of a header": (MEMBER + header("b.png", 0)[:200], "there is no header at byte 512"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("suffix", [".tar", ".tgz"])
def test_a_header_is_believed_only_in_bounds(tmp_path: Path, attack: str, suffix: str) -> None:
    content, said = ATTACKS[attack]
    whole = content if "half" in attack else content + 2 * EMPTY
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(gzip.compress(whole) if suffix == ".tgz" else whole)
    if "beyond" in attack and suffix == ".tgz":
        said = "is not a readable archive" if "64" not in attack else "unpacks to more than"
    assert said in refusal(path).message


def test_an_archive_whose_size_does_not_fit_into_64_bits_is_refused() -> None:
    refusal(TESTS / "fixtures" / "images" / "size-beyond-64-bits.tar")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: header("a.png", 512 * MIB) + bytes(MIB), "unpacks to more than 4194304 bytes"),
        (lambda: (header("a.png", MIB) + bytes(MIB)) * 5, "unpacks to more than 4194304 bytes"),
        (lambda: MEMBER * 600, " members"),
    ],
    ids=["one member", "all members", "many members"],
)
def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object, said: str
) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 4 * MIB)
    monkeypatch.setattr(archives, "FREE_MEMBERS", 500)
    (tmp_path / "bomb.tgz").write_bytes(gzip.compress(content() + 2 * EMPTY))  # type: ignore[operator]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = refusal(tmp_path / "bomb.tgz")
    assert (said in error.message, "Images hardly compress" in error.hint) == (True, True)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


@pytest.mark.parametrize("suffix", [".tar", ".tgz"])
def test_a_member_of_a_tar_has_the_limit_of_one_in_a_zip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    photo = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(photo, "png")
    size = len(photo.getvalue())
    with tarfile.open(tmp_path / f"set{suffix}", "w:gz" if suffix == ".tgz" else "w") as archive:
        for name in ("a.png", "b.png"):
            member = tarfile.TarInfo(name)
            member.size = size
            archive.addfile(member, io.BytesIO(photo.getvalue()))
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", size)
    assert len(open_image_set(tmp_path / f"set{suffix}").digest) == 64
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", size - 1)
    with pytest.raises(ImageSetError, match=f"a.png unpacks to {size} bytes, more than {size - 1}"):
        _ = open_image_set(tmp_path / f"set{suffix}").digest
