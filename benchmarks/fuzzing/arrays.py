"""Damaged arrays of NumPy: .npy files of odd types and shapes, and .npz files of such."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.lib import format as npy
from numpy.typing import NDArray

from benchmarks.fuzzing.edits import damaged

TYPES = (
    "<f4", ">f8", "<f2", "|u1", "<i8", "|b1", "<c8", "|O", "|V4", "<U3", "|S0", "<M8[s]", "<m8", "|V0",
    [("a", "<f4")], "f4,f4", "(2,2)<f4", "x", "", 3, None, [("a", "|O")],
)  # fmt: skip
CAST = ("<f2", "|u1", "<i8", "|b1", "<c8", "<f8", "<U3", "<M8[s]", "<u8")
SHAPES = (
    (1, 3), (1, 3, 8, 8), (0, 3), (), (3,), (2**40,), (2**28,), (2**62, 2**62), (-1,), (2**20, 2**20, 0),
    (1, 3, 0, 8), (1, 3, 2**15, 2**15), (True,), ("3",), [1, 3], (1.0, 3), None, (10**4000,), (1,) * 70,
)  # fmt: skip
SMALL_SHAPES = ((0, 3), (), (1,), (0, 3, 8, 8), (1, 3, 0, 8), (9, 3, 1, 1), (1, 1, 1, 1, 1))
VALUES = (0.0, 1.0, float("nan"), float("inf"), 1e30, 1e300, -1e-40)
HEADERS = (
    b"{}", b"[" * 5000, b"(" * 9000, b"-" * 9000 + b"1", b"{'a': 1, 'a': 1}", b"None", b"9" * 9000, b"\xff",
    b"{'descr': '<f4', 'fortran_order': 3, 'shape': (1,)}", b"lambda: 0", b"'" * 9000, b"{**1}", b"",
)  # fmt: skip
NAMES = ("logits.npy", "logits.npy", "x", "../evil.npy", "a\nb.npy", "\x1b[2J.npy", "map0.npy")
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2)


def saved(array: NDArray[Any], version: tuple[int, int] | None = None) -> bytes:
    """Return what numpy.save writes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions that older programs cannot read
        npy.write_array(buffer, array, version)
    return buffer.getvalue()


def headed(header: bytes, data: bytes, major: int = 1) -> bytes:
    """Return a .npy file with that header, of whatever length."""
    size = struct.pack("<H", len(header) % 2**16) if major == 1 else struct.pack("<I", len(header))
    return b"\x93NUMPY" + bytes((major, 0)) + size + header + data


def claiming(kind: Any, shape: Any, data: bytes, *, fortran: bool = False) -> bytes:
    """Return a .npy file whose header claims a type and a shape."""
    return headed(repr({"descr": kind, "fortran_order": fortran, "shape": shape}).encode(), data)


@st.composite
def arrays(draw: st.DrawFn, whole: NDArray[Any]) -> bytes:
    """Return a .npy file: damaged, or of other values, types or shapes, or with a header that claims them."""

    def one_of(values: Any) -> Any:
        return draw(st.sampled_from(values))

    match one_of(("bytes", "claim", "claim", "header", "values", "types", "shape")):
        case "bytes":
            return draw(damaged(saved(whole, one_of(((1, 0), (2, 0), (3, 0))))))
        case "claim":
            return claiming(one_of(TYPES), one_of(SHAPES), whole.tobytes(), fortran=one_of((False, True)))
        case "header":
            return headed(one_of(HEADERS), whole.tobytes(), one_of((1, 2, 3, 9)))
        case "values":
            return saved(np.full_like(whole, one_of(VALUES), one_of(("<f4", ">f8"))))
        case "types":
            return saved(whole.astype(one_of(CAST)))
    return saved(np.zeros(one_of(SMALL_SHAPES)))


@st.composite
def bundles(draw: st.DrawFn, whole: NDArray[Any]) -> bytes:
    """Return a .npz file: damaged, of odd members, or one that unpacks to far more than it has."""
    how = draw(st.sampled_from(("bytes", "bytes", "members", "bomb")))
    members = [("logits.npy", claiming("<f4", (2**28,), bytes(2**26)))]
    if how != "bomb":
        contents = arrays(whole) if how == "members" else st.sampled_from((saved(whole), b"text"))
        members = [(draw(st.sampled_from(NAMES)), draw(contents)) for _ in range(draw(st.integers(1, 3)))]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", draw(st.sampled_from(PACKINGS))) as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        for name, content in members:
            made.writestr(name, content)
    return draw(damaged(buffer.getvalue())) if how == "bytes" else buffer.getvalue()
