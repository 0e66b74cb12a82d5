"""Class names come from the images where the model's own answers show that they are its classes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convnext_edge.checkpoints.class_order import Numbering
from convnext_edge.checkpoints.load_source import OF_CIFAR10, load_source
from convnext_edge.checkpoints.source import Source
from convnext_edge.errors import UsageError
from convnext_edge.evaluation.class_names import exchanged, names_of_images
from convnext_edge.images.class_order import renumber
from convnext_edge.images.definitions import calibration_dir
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.opening import open_image_set

NUMBERED = [f"{number}-{name}" for number, name in enumerate(OF_CIFAR10)]


@pytest.fixture(scope="module")
def nameless(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """The demo model as a checkpoint that says nothing of its classes."""
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    shutil.copy(calibration_dir() / "demo" / "demo.safetensors", path)
    return load_source(None, path)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return open_image_set("demo", split="calibration")


def renamed(images: ImageSet, given: Sequence[str]) -> ImageSet:
    """Return the images with `given` in place of the names of the model's classes, numbered by them."""
    names = dict(zip(OF_CIFAR10, given, strict=True))
    return renumber(replace(images, classes=tuple(names[name] for name in images.classes)), NUMBERED, "text")


def test_names_of_the_folders_are_taken_where_the_model_answers_by_them(
    nameless: Source, images: ImageSet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    assert nameless.classes == ()
    assert names_of_images(images, nameless, Numbering()).names == OF_CIFAR10
    assert "class names are those of demo: airplane, automobile, bird, …" in caplog.text


def test_names_of_other_classes_are_not(
    nameless: Source, images: ImageSet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    other = renamed(images, (*NUMBERED[1:], NUMBERED[0]))
    assert names_of_images(other, nameless, Numbering()).names == ()
    assert "class names are not taken from demo: the model gets" in caplog.text


def test_names_of_which_two_are_exchanged_are_not(
    nameless: Source, images: ImageSet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    other = renamed(images, (*NUMBERED[:7], NUMBERED[8], NUMBERED[7], NUMBERED[9]))
    assert names_of_images(other, nameless, Numbering()).names == ()
    assert "it answers '8-ship' to '7-horse'" in caplog.text


def test_classes_in_a_circle_are_exchanged() -> None:
    labels = np.array([0, 0, 1, 2, 3, 3])
    assert exchanged(labels, np.array([1, 1, 2, 0, 3, 0])) == (0, 1)
    assert exchanged(labels, np.array([1, 1, 2, 2, 3, 3])) is None  # two classes that it takes for a third
    assert exchanged(labels, np.array([1, 0, 2, 0, 3, 3])) is None  # not most of them
    assert exchanged(labels, labels) is None


def test_names_in_an_uncertain_order_are_not(
    nameless: Source, images: ImageSet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    assert nameless.layout == "convnext_edge"
    numbers = tuple(sorted(str(number) for number in range(2, 12)))  # 10, 11, 2, ...
    uncertain = replace(images, classes=numbers, numbered_by="text")
    assert names_of_images(uncertain, nameless, Numbering()).names == ()
    assert "--class-order or --classes must tell their order" in caplog.text
    assert names_of_images(uncertain, nameless, Numbering("text")).names == numbers


@pytest.mark.parametrize("count", [9, 11])
def test_names_of_another_number_of_classes_are_not(count: int, nameless: Source, images: ImageSet) -> None:
    fewer = replace(images, classes=tuple(f"class {number}" for number in range(count)))
    assert names_of_images(fewer, nameless, Numbering()).names == ()


def test_the_names_of_a_file_go_before_all_others(nameless: Source, images: ImageSet, tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    path.write_text(json.dumps([name.upper() for name in OF_CIFAR10]))
    named = replace(nameless, classes=OF_CIFAR10)
    assert names_of_images(images, named, Numbering()).names == ()  # the model's own stay
    assert names_of_images(images, named, Numbering(file=path)).names[0] == "AIRPLANE"
    path.write_text(json.dumps(["one"]))
    with pytest.raises(UsageError, match=r"names 1 classes, the model has 10"):
        names_of_images(images, named, Numbering(file=path))
