"""Which class is which synset of WordNet: lists in the order of the labels, and the devkit's numbers."""

from __future__ import annotations

import importlib
import io
import re
from collections.abc import Sequence
from typing import Any

from convnext_edge.images.companions import Companion

SYNSET = re.compile(r"n\d{8}")  # WordNet id of a noun
DEVKIT_META = "meta.mat"


def synset_list(companions: Sequence[Companion]) -> tuple[str, ...]:
    """Return the synset ids in the order of the labels, from a file such as synset_words.txt.

    Every line of the file starts with an id, and the lines are sorted: in another order, the list would
    follow the devkit's numbers, not the labels. Empty where there is no such file.
    """
    for companion in companions:
        words = [row[0] for row in companion.rows()]
        if len(words) > 1 and all(map(SYNSET.fullmatch, words)) and words == sorted(set(words)):
            return tuple(words)
    return ()


def devkit_synsets(companions: Sequence[Companion]) -> dict[int, str]:
    """Return the synset of each ILSVRC2012_ID (1-based); empty where no file has them.

    Such a file is a text with `synset id` or `id synset` on every line (map_clsloc.txt), or the devkit's
    meta.mat where SciPy is installed.
    """
    for companion in companions:
        synsets = _from_meta(companion) if companion.name == DEVKIT_META else _from_rows(companion.rows())
        if synsets:
            return synsets
    return {}


def _from_rows(rows: list[list[str]]) -> dict[int, str]:
    pairs = [sorted(row[:2]) for row in rows]  # digits sort before letters: id, synset
    if not all(len(pair) == 2 and pair[0].isdecimal() and SYNSET.fullmatch(pair[1]) for pair in pairs):
        return {}
    return {int(number): synset for number, synset in pairs}


def _from_meta(companion: Companion) -> dict[int, str]:
    try:
        scipy_io: Any = importlib.import_module("scipy.io")
    except ImportError:
        return {}
    records = scipy_io.loadmat(io.BytesIO(companion.read()), squeeze_me=True)["synsets"]
    # Ids above 1000 are the inner nodes of the hierarchy; they have children.
    return {int(r["ILSVRC2012_ID"]): str(r["WNID"]) for r in records if int(r["num_children"]) == 0}
