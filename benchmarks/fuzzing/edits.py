"""How an input is damaged: strategies of Hypothesis that change bytes, JSON values, tensors and graphs."""

from __future__ import annotations

import json
import re
import struct
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

LARGE = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**64 - 1)
NEAR = 512  # bytes from either end, where formats keep their headers and tables
EDITS = ("flip", "number", "cut", "delete", "insert", "repeat", "digits", "zeros")
TEXTS = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"{", b"]" * 9, b'"', b"\n" * 40, b"9" * 5000,
    b"-1", b"1e999", b"NaN", b"[" * 2000, b"../../evil", b"%s%n{}", "é".encode(),
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, whole: bytes, *, most: int = 4) -> bytes:
    """Return `whole` after up to `most` edits: bits, numbers, cuts, and texts that parsers stumble over."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, most))):
        at = draw(places(len(content)))
        _edit(content, at, draw(st.sampled_from(EDITS)), draw)
    return bytes(content)


def places(length: int) -> st.SearchStrategy[int]:
    """Return offsets into so many bytes; each end is as likely as the whole middle."""
    first, last = st.integers(0, min(NEAR, length)), st.integers(max(0, length - NEAR), length)
    return st.one_of(first, st.integers(0, length), last)


def _edit(content: bytearray, at: int, how: str, draw: st.DrawFn) -> None:
    match how:
        case "flip" if at < len(content):
            content[at] ^= draw(st.integers(1, 255))
        case "number":
            form = draw(st.sampled_from(("<Q", ">Q", "<I", ">I", "<H", "B")))
            size = struct.calcsize(form)
            number = draw(st.sampled_from(LARGE)) % 256**size
            content[at : at + size] = struct.pack(form, number)
        case "cut":
            del content[at:]
        case "delete":
            del content[at : at + draw(st.integers(1, 64))]
        case "insert":
            content[at:at] = draw(st.sampled_from(TEXTS) | st.binary(min_size=1, max_size=16))
        case "repeat":
            content[at:at] = content[at : at + draw(st.integers(1, 256))] * draw(st.sampled_from((1, 2, 200)))
        case "digits":
            found = list(re.finditer(rb"\d+", content))
            if found:
                span = draw(st.sampled_from(found)).span()
                content[slice(*span)] = draw(st.sampled_from((b"-1", b"0", b"9" * 20, b"9" * 5000, b"1e400")))
        case _:
            length = len(content[at : at + 32])
            content[at : at + length] = bytes(length)


# --- JSON and TOML ---------------------------------------------------------------------------------

# What no JSON library writes by itself is put in as text, for a mark.
RAW = {"@digits": "9" * 5000, "@deep": "[" * 2000 + "]" * 2000, "@huge": "1e999", "@nan": "NaN"}
ODD: tuple[Any, ...] = (
    None, True, False, 0, 8, -1, 2**31, 2**63, 10**300, 0.5, -0.0, 1e308, "", "0", "x" * 300, "../../evil",
    "/etc/hostname", "C:\\x", "a\nb", "a\x00b", "\udc80", "\u202e", "..", "fp32", "openvino", "nan", [], [None],  # noqa: E501
    [1, 2, 3], ["a", "a"], [[[]]], {}, {"a": {}}, {"name": 3, "sha256": 5}, [1e308, -1, 0], *RAW,
)  # fmt: skip
odd_values = st.sampled_from(ODD).map(deepcopy)  # as lists of them are changed later


@st.composite
def damaged_json(draw: st.DrawFn, value: Any, *, most: int = 3) -> bytes:
    """Return a JSON text of `value` with up to `most` of its parts replaced, removed, renamed or added."""
    changed = [deepcopy(value)]
    for _ in range(draw(st.integers(1, most))):
        holder, key = draw(st.sampled_from(_spots(changed)))
        how = draw(st.sampled_from(("replace", "replace", "replace", "remove", "add")))
        if how == "replace" or holder is changed:
            holder[key] = draw(odd_values)
        elif how == "remove":
            del holder[key]
        elif isinstance(holder, dict):
            holder[draw(st.sampled_from(("", "extra", "format", "x" * 300, "\udc80")))] = draw(odd_values)
        else:
            holder.append(draw(odd_values))
    return raw(json.dumps(changed[0])).encode()


def texts(value: Any) -> st.SearchStrategy[bytes]:
    """Return the strategy of JSON texts of `value`, with other values or damaged bytes."""
    return st.one_of(damaged_json(value), damaged_json(value), damaged(json.dumps(value).encode()))


def raw(text: str) -> str:
    """Return JSON (or TOML) with the texts of RAW in place of their marks."""
    for mark, stands_for in RAW.items():
        text = text.replace(f'"{mark}"', stands_for)
    return text


def _spots(value: Any) -> list[tuple[Any, Any]]:
    """Return each place in nested lists and dicts, as what holds it and its key."""
    if not isinstance(value, dict | list):
        return []
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    return [(value, key) for key in keys] + [spot for key in keys for spot in _spots(value[key])]


@st.composite
def tables(draw: st.DrawFn, keys: tuple[str, ...]) -> bytes:
    """Return a TOML file of some of the keys, with odd values."""
    lines = []
    for key in draw(st.lists(st.sampled_from((*keys, "unknown", '"a.b"', "'\x7f'", "a.b.c")), max_size=4)):
        value = draw(
            odd_values | st.sampled_from(("mse", "uint8", "float", ["*"], 4, "0xFF", "@hex", "@date"))
        )
        text = raw(json.dumps(value)).replace("null", "nan").replace("1e999", "inf").replace("NaN", "nan")
        lines.append(f"{key} = {text.replace(chr(34) + '@hex' + chr(34), '0x' + 'F' * 4900)}")
    return "\n".join(lines).replace('"@date"', "1979-05-27T07:32:00Z").encode("utf-8", "surrogatepass")
