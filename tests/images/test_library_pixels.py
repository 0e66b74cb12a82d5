"""Pixels against those that timm, torchvision, transformers and OpenCLIP hand to their models.

`benchmarks/make/preparation_fixtures.py` made the fixtures with the libraries themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
from support.patterns import SIZES, pattern
from support.places import TESTS

from convnext_edge.checkpoints.preparation import open_clip, timm, torchvision, transformers
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import preprocess

FOLDER = TESTS / "fixtures" / "preprocessing"
WAYS: Mapping[str, Any] = json.loads((FOLDER / "digests.json").read_text("utf-8"))
READERS: Mapping[str, Callable[[Any], Preprocessing]] = {
    "timm": lambda way: timm.of_pretrained(way["told"]),
    "torchvision": lambda way: torchvision.of_size(way["told"]["size"]),
    "transformers": lambda way: transformers.of_processor(way["told"], way["version"])[0],
    "open_clip": lambda way: open_clip.of_open_clip(way["told"]),
}
EXACT = [name for name, way in WAYS.items() if way["digests"]]
FLOATS = np.load(FOLDER / "floats.npz")

picture = cache(pattern)


def prepared(name: str) -> Preprocessing:
    return READERS[WAYS[name]["library"]](WAYS[name])


@pytest.mark.parametrize("name", EXACT)
def test_pixels_are_those_of_the_library(name: str) -> None:
    way = prepared(name)
    found = {f"{w}x{h}": hashlib.sha256(preprocess(picture(w, h), way)).hexdigest()[:32] for w, h in SIZES}
    assert len(found) == 20
    assert found == WAYS[name]["digests"]


def test_pixels_are_within_a_level_where_the_library_resizes_floats() -> None:
    assert len(FLOATS) == 20
    for key, expected in FLOATS.items():
        name, _, size = key.partition("/")
        found = preprocess(picture(*map(int, size.split("x"))), prepared(name))
        assert np.abs(found.astype(int) - expected).max() <= 1, size
