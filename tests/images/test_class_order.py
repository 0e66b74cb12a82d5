"""The order of classes: natural or text, the library's, a file's; sets that lack classes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.image_sets import save_class_folders

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Description
from convnext_edge.checkpoints.class_order import Numbering, order_of
from convnext_edge.errors import UsageError
from convnext_edge.images.class_order import read_classes, read_rows, sort_classes
from convnext_edge.images.contents import ClassOrder
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.preprocessing import Preprocessing

NUMBERS = [str(number) for number in range(1, 13)]
TEXT = ["1", "10", "11", "12", "2", "3", "4", "5", "6", "7", "8", "9"]
MODEL = Description(
    kind="onnx",
    stem="m",
    variant=None,
    architecture=Architecture((1,), (8,), classes=12),
    preprocessing=Preprocessing(),
)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    folder = tmp_path_factory.mktemp("numbers")
    save_class_folders(folder, *NUMBERS, count=1)
    return open_image_set(folder)


def labels(images: ImageSet) -> dict[str, int]:
    return {entry.name.split("/")[0]: entry.label for entry in images.entries}


def test_names_are_sorted_as_timm_does() -> None:
    """By hand, with the rule of `natural_key`: runs of digits are numbers, the rest is in lower case."""
    assert sort_classes(TEXT, "natural") == tuple(NUMBERS)
    assert sort_classes(NUMBERS, "text") == tuple(TEXT)
    mixed = ["class10", "Class2", "class1b", "class1", "B", "a", "1", "x9y10", "x9y9", "7" * 5000]
    expected = ["1", "7" * 5000, "a", "B", "class1", "class1b", "Class2", "class10", "x9y9", "x9y10"]
    assert sort_classes(mixed, "natural") == tuple(expected)


@pytest.mark.parametrize(
    ("layout", "order"),
    [
        ("timm_v1_conv_mlp", "natural"),
        ("convnext_edge", "natural"),
        (None, "natural"),
        ("torchvision_v1", "text"),
        ("transformers_v2", "text"),
        ("official_v1", "text"),
        ("mmpretrain_v1", "text"),
    ],
)
def test_the_order_is_that_of_the_checkpoints_library_and_told(
    numbered: ImageSet, layout: str | None, order: ClassOrder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    assert order_of(layout) == order
    found = Numbering().apply(numbered, replace(MODEL, layout=layout))
    taken, other = (NUMBERS, TEXT) if order == "natural" else (TEXT, NUMBERS)
    assert labels(found) == {name: taken.index(name) for name in NUMBERS}
    assert found.numbered_by == order
    assert [other[label] for label in found.other_labels] == taken
    assert f"numbered in {order} order: class 1 is '{taken[1]}', not '{other[1]}'" in caplog.text


def test_an_order_that_is_asked_for_is_taken_without_a_word(
    numbered: ImageSet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    found = Numbering("text").apply(numbered, MODEL)
    assert labels(found) == {name: TEXT.index(name) for name in NUMBERS}
    assert caplog.messages == []


def test_names_of_the_model_come_before_any_order(numbered: ImageSet) -> None:
    names = tuple(reversed(NUMBERS))
    found = Numbering().apply(numbered, replace(MODEL, classes=names))
    assert labels(found) == {name: names.index(name) for name in NUMBERS}
    assert (found.numbered_by, found.other_labels) == ("names", ())


def test_a_set_that_numbers_its_names_in_another_order_is_numbered_by_them(
    numbered: ImageSet, caplog: pytest.LogCaptureFixture
) -> None:
    """As a Parquet file of the hub does, whose names `datasets` keeps beside the numbers."""
    caplog.set_level("INFO", "convnext_edge")
    names = tuple(reversed(NUMBERS))
    listed = replace(numbered, numbered_by=None)
    found = Numbering().apply(listed, replace(MODEL, classes=names))
    assert labels(found) == {name: names.index(name) for name in NUMBERS}
    assert "numbered by their names, as the model has them: class 0 is '12', not '1'" in caplog.text
    for same in (replace(MODEL, classes=numbered.classes), replace(MODEL, classes=("x", *NUMBERS[1:]))):
        assert Numbering().apply(listed, same) is listed


def test_names_that_the_model_does_not_know_are_told(
    numbered: ImageSet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    Numbering().apply(numbered, replace(MODEL, classes=("one", *NUMBERS[1:])))
    assert "has the class '1', which the model does not name" in caplog.text
    caplog.clear()
    synsets = tuple(f"n{number:08d}" for number in range(12))
    Numbering().apply(replace(numbered, classes=synsets), replace(MODEL, classes=tuple(NUMBERS)))
    assert caplog.messages == []


def test_names_of_the_model_that_two_classes_have_number_nothing(numbered: ImageSet) -> None:
    names = ("crane", "crane", *NUMBERS[2:])
    images = replace(numbered, classes=("crane", *NUMBERS[2:]), entries=numbered.entries[:1])
    assert Numbering("text").apply(images, MODEL).classes == tuple(sorted(images.classes))
    assert Numbering().apply(images, replace(MODEL, classes=names)).numbered_by != "names"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("classes.txt", "cat\ndog\nowl\n"),
        ("classes.txt", "\ufeffcat, tabby\ndog, hound\nowl\n".replace(",", "")),
        ("list.json", ["cat", "dog", "owl"]),
        ("idx_to_class.json", {"2": "owl", "0": "cat", "1": "dog"}),
        ("class_to_idx.json", {"owl": 2, "cat": 0, "dog": 1}),
        ("imagenet_class_index.json", {"0": ["n1", "cat"], "1": ["n2", "dog"], "2": ["n3", "owl"]}),
    ],
)
def test_files_of_names_settle_the_order_and_let_a_set_lack_classes(
    tmp_path: Path, name: str, content: object
) -> None:
    save_class_folders(tmp_path / "set", "owl", "dog")
    file = tmp_path / name
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    model = replace(MODEL, architecture=Architecture((1,), (8,), classes=3))
    found = Numbering(file=file).apply(open_image_set(tmp_path / "set"), model)
    assert labels(found) == {"dog": 1, "owl": 2}
    assert len(found.classes) == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[1, 2]", "cannot be read"),
        ('{"0": "cat", "2": "dog"}', "its labels are not 0, 1, 2 and so on, each once"),
        ('{"cat": 0, "dog": 0}', "its labels are not 0, 1, 2"),
        ('["cat", "cat"]', "names no classes, or one of them twice"),
        ("[]", "names no classes"),
        ("[" * 100_000, "cannot be read"),
        ("3", "cannot be read"),
        ('{"0": ["n1", "cat"], "1": ["dog"]}', "some of its labels have more names than others"),
    ],
)
@pytest.mark.parametrize("name", ["classes.json", "classes.txt"])
def test_a_file_of_another_form_is_refused(tmp_path: Path, name: str, content: str, said: str) -> None:
    if name.endswith(".txt") and content == "3":
        return
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=said) as caught:
        read_classes(tmp_path / name)
    assert '{"cat": 0, "dog": 1}' in caught.value.hint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("0\tcat\n1\tdog\n", "`number name`"),
        ("1: cat\n2: dog\n", "`number name`"),
        ("cat 1\ndog 0\n", "`name number`"),
        ("{0: 'cat',\n 1: 'dog'}\n", "it is not JSON"),
    ],
)
def test_lines_that_are_more_than_names_are_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "labels").write_text(content)
    with pytest.raises(UsageError, match=f"--labels .*labels cannot be read: .*{said}"):
        read_rows(tmp_path / "labels", "--labels")


@pytest.mark.parametrize("content", ["class 0\nclass 1\n", "\n 7 seas \n8 mile\n\n", "crane\ncrane\n"])
def test_names_may_have_numbers_or_be_equal(tmp_path: Path, content: str) -> None:
    (tmp_path / "labels").write_text(content)
    found = [row[0] for row in read_rows(tmp_path / "labels", "--labels")]
    assert found == [line.strip() for line in content.strip().splitlines()]


def test_options_that_do_not_fit_are_refused(numbered: ImageSet, tmp_path: Path) -> None:
    file = tmp_path / "classes.txt"
    file.write_text("cat\ndog\n")
    with pytest.raises(UsageError, match="names 2 classes, the model has 12"):
        Numbering(file=file).apply(numbered, MODEL)
    with pytest.raises(UsageError, match="has no '1', which is a class of numbers"):
        Numbering(file=file).apply(numbered, replace(MODEL, architecture=Architecture((1,), (8,), classes=2)))
    with pytest.raises(UsageError, match="exclude each other"):
        Numbering("text", file).apply(numbered, MODEL)
    with pytest.raises(UsageError, match="--class-order means nothing for"):
        Numbering("text").apply(replace(numbered, numbered_by=None), MODEL)
    with pytest.raises(UsageError, match=r"--classes .*classes.txt means nothing for demo_segment"):
        Numbering(file=file).apply(open_image_set("demo_segment"), replace(MODEL, task="segment"))
