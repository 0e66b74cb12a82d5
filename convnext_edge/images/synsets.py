"""Which class is which synset of WordNet: lists in the order of the labels, and the devkit's numbers."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import zlib
from collections.abc import Sequence
from typing import Literal

from convnext_edge.errors import ImageSetError
from convnext_edge.images import matlab
from convnext_edge.images.companions import Companion
from convnext_edge.reading import parse_json, shown

SYNSET = re.compile(r"n\d{8}")  # WordNet id of a noun
NUMBER = re.compile(r"[0-9]{1,9}")
DEVKIT_META = "meta.mat"
COMPRESSED = 15  # type of an element of a .mat file
SECONDS = 30  # the devkit's own takes one
MAX_META_BYTES = 2**25  # the devkit's own takes 3 MiB


def synset_list(companions: Sequence[Companion]) -> tuple[str, ...]:
    """Return the synset ids in the order of the labels, from a file such as synset_words.txt.

    Every line of the file starts with an id, and the lines are sorted: in another order, the list would
    follow the devkit's numbers, not the labels. Empty where there is no such file.
    """
    for companion in companions:
        words = [row[0] for row in companion.rows()]
        if len(words) > 1 and all(map(SYNSET.fullmatch, words)) and words == sorted(set(words)):
            companion.check_encoding()
            return tuple(words)
    return ()


def devkit_synsets(companions: Sequence[Companion]) -> dict[int, str]:
    """Return the synset of each ILSVRC2012_ID (1-based); empty where no file has them.

    Such a file is a text with `synset id` or `id synset` on every line (map_clsloc.txt), or the devkit's
    meta.mat where SciPy is installed. Raises ImageSetError where that is damaged.
    """
    for companion in companions:
        synsets = _from_meta(companion) if companion.name == DEVKIT_META else _from_rows(companion.rows())
        if synsets:
            companion.check_encoding()
            return synsets
    return {}


def _from_rows(rows: list[list[str]]) -> dict[int, str]:
    pairs = [sorted(row[:2]) for row in rows]  # digits sort before letters: id, synset
    if not all(len(pair) == 2 and NUMBER.fullmatch(pair[0]) and SYNSET.fullmatch(pair[1]) for pair in pairs):
        return {}
    return {int(number): synset for number, synset in pairs}


def _from_meta(companion: Companion) -> dict[int, str]:
    if importlib.util.find_spec("scipy") is None:
        return {}
    try:
        content = companion.read()
        _check_size(content)
        return _read_apart(content)
    except (ValueError, zlib.error) as error:
        raise ImageSetError(
            f"{companion.path} is damaged, or not of ImageNet's devkit: {shown(str(error))}",
            hint="Get the devkit (ILSVRC2012_devkit_t12) again, or put map_clsloc.txt in its place.",
        ) from error


def _read_apart(content: bytes) -> dict[int, str]:
    """Return what `matlab` prints of a file; raise ValueError where it fails, or takes too long."""
    command = [sys.executable, "-P", matlab.__file__]
    try:
        done = subprocess.run(command, input=content, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"SciPy does not read it in {SECONDS} seconds") from error
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ValueError(told[-1] if told else f"SciPy crashed (exit code {done.returncode})")
    return {int(number): synset for number, synset in parse_json(done.stdout).items()}


def _check_size(content: bytes) -> None:
    """Raise ValueError for a file whose compressed elements unpack to more than labels can take.

    The format is of MATLAB 5: after 128 bytes come elements of type, length (4 bytes each) and content.
    """
    order: Literal["little", "big"] = "big" if content[126:128] == b"MI" else "little"
    start, unpacked = 128, len(content)
    while start + 8 <= len(content) and unpacked <= MAX_META_BYTES:
        kind, length = (int.from_bytes(content[at : at + 4], order) for at in (start, start + 4))
        if kind == COMPRESSED:
            stream = zlib.decompressobj()
            unpacked += len(stream.decompress(content[start + 8 : start + 8 + length], MAX_META_BYTES + 1))
        start += 8 + length
    if unpacked > MAX_META_BYTES:
        raise ValueError(f"it unpacks to more than {MAX_META_BYTES:,} bytes")
