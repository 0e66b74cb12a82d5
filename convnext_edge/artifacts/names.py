"""Names of files that come out of files, and names that become part of such: plain ones only.

A sidecar that somebody else wrote must not lead to a file outside of its folder. The readers of the embedded
libraries keep the same rules.
"""

from __future__ import annotations

import re
import unicodedata

from convnext_edge.errors import ConvNeXtEdgeError
from convnext_edge.reading import shown

MAX_BYTES = 199  # file systems allow 255, and what belongs to a file has its name with more at the end
MAX_STEM_BYTES = 120  # so that precision, target and suffix find room behind it


def fault(name: str, most: int = MAX_BYTES) -> str:
    """Return why `name` is no plain file name of at most that many bytes; nothing where it is one."""
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return "is not UTF-8"
    reasons = {
        "is empty": not name,
        "leads to another folder": name in (".", "..") or "/" in name or "\\" in name,
        "begins with the letter of a drive": re.match(r"[A-Za-z]:", name),
        "holds a control character": any(unicodedata.category(letter) == "Cc" for letter in name),
        f"has {size} bytes, more than {most}": size > most,
    }
    return next((reason for reason, is_so in reasons.items() if is_so), "")


def made_plain(name: str) -> str:
    """Return a name, of a picture in an archive perhaps, as a plain one: other characters become `_`.

    One that is too long is cut off. Empty where nothing is left to tell pictures apart.
    """
    kept = "".join("_" if c in "/\\" or unicodedata.category(c) in ("Cc", "Cs") else c for c in name)
    kept = kept.encode("utf-8")[:MAX_BYTES].decode("utf-8", "ignore")
    return "" if fault(kept) else kept


def printable(text: str) -> str:
    r"""Return `text` with what is not UTF-8 in it as `\xff`, so that it can be written and read again."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def quoted(name: str) -> str:
    """Return a name in quotes, with control characters and what is not UTF-8 escaped."""
    return repr(printable(name)).replace("\\\\x", "\\x")


def check_new(name: str, kind: type[ConvNeXtEdgeError], *, hint: str, most: int = MAX_BYTES) -> None:
    """Raise an error of that kind for a name that would spoil what is made of it."""
    why = fault(name, most)
    if why:
        raise kind(f"the name {shown(name, quoted)} {why}", hint=hint)
