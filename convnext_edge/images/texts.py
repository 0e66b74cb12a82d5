"""Text files that people give, such as labels and names of classes: which encodings are read."""

from __future__ import annotations

import codecs

# The longer marks first: that of UTF-32 begins as that of UTF-16 does.
FOREIGN_MARKS = {codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32"}
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
SAVE_AS = "Save it as UTF-8."


def decode_text(data: bytes) -> str:
    """Return the text of a file: UTF-8 with or without byte-order mark, or UTF-16 with one.

    Raises ValueError for anything else, which says why, and at which byte (0-based).
    """
    for mark, name in FOREIGN_MARKS.items():
        if data.startswith(mark):
            raise ValueError(f"it is {name} by its byte-order mark (byte 0), not UTF-8 or UTF-16")
    encoding = "utf-16" if data.startswith(UTF16_MARKS) else "utf-8-sig"
    if encoding != "utf-16" and b"\0" in data:  # half the bytes of English in UTF-16
        raise ValueError(f"byte {data.index(0)} is 0: it is binary, or UTF-16 without its byte-order mark")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        name = "UTF-16" if encoding == "utf-16" else "UTF-8"
        wrong = f"byte {error.start} is 0x{data[error.start]:02x} ({error.reason})"
        raise ValueError(f"it is not {name}: {wrong}") from error


def decode_leniently(data: bytes) -> str:
    """Return what can be made out of a text in a wrong encoding, to tell what it is about."""
    return data.replace(b"\0", b"").decode("latin-1")
