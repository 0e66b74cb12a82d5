"""Names of the files that `predict --maps` writes: pictures in archives may be called anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convnext_edge.artifacts.names import fault
from convnext_edge.commands.predict.maps import MapWriter
from convnext_edge.images.preprocessing import Preprocessing

NAMES = ["a\0b.png", "a\nb.png", "../c.png", "t.tar/" + "x" * 251 + ".png", "é" * 150 + ".png", "..", ".png"]


@pytest.fixture
def writer(tmp_path: Path) -> MapWriter:
    return MapWriter(tmp_path, Preprocessing(resolution=4))


def write(writer: MapWriter, picture: str) -> list[str]:
    return [
        place.name
        for place in writer.write(picture, np.zeros((3, 4, 4), np.uint8), np.zeros((4, 4), np.int64))
    ]


def test_whatever_a_picture_is_called_its_files_have_plain_names(writer: MapWriter, tmp_path: Path) -> None:
    made = [name for picture in NAMES for name in write(writer, picture)]
    assert len(set(made)) == 2 * len(NAMES)
    assert set(made) == {path.name for path in tmp_path.iterdir()}
    assert [fault(name, 230) for name in made] == [""] * len(made)
    assert made[::2][:3] == ["a_b.labels.png", "a_b_2.labels.png", "c.labels.png"]


def test_names_that_differ_in_their_case_alone_take_no_place_from_each_other(writer: MapWriter) -> None:
    """As file systems of macOS and Windows would have it."""
    assert write(writer, "cat.png")[0] == "cat.labels.png"
    assert write(writer, "Cat.png")[0] == "Cat_2.labels.png"
