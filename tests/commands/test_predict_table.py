"""predict: what a person sees, tables and overlays, of results made by hand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from rich.cells import cell_len

from convnext_edge.commands.predict.objects import overlay
from convnext_edge.commands.predict.result import Area, Failed, Object, Predict, Prediction, Top
from convnext_edge.commands.predict.tables import shorten
from convnext_edge.images.objects import split
from convnext_edge.tasks import Task

BOX = (1.0, 2.0, 3.0, 4.0)

LABELS = ("tench, Tinca tinca", "goldfish, Carassius auratus", "great white shark, white shark, man-eater")
PATHS = ("a.png", "imagenet/val/n01440764/ILSVRC2012_val_00000293.JPEG", "写真/猫がたくさんいる庭の写真.jpg")


def result(
    *rows: Prediction, task: Task = "classify", threshold: float | None = None, failed: int = 0
) -> Predict:
    return Predict(
        artifact=Path("convnext-edge-out/tiny.onnx"),
        target="openvino",
        task=task,
        pictures=len(rows) + failed,
        predictions=rows,
        failed=tuple(Failed(f"broken{number}.png", "the file is empty") for number in range(failed)),
        seconds=1.25,
        threshold=threshold,
        cosines=tuple(tuple(map(float, row)) for row in np.eye(len(rows))) if task == "embed" else None,
    )


def of_classes(path: str, *probabilities: float) -> Prediction:
    top = (Top(LABELS[place % 3], place, share) for place, share in enumerate(probabilities))
    return Prediction(path, top=tuple(top))


def lines(made: Predict) -> list[str]:
    return made.summary().splitlines()


def widest(made: Predict) -> int:
    return max(map(cell_len, lines(made)))


def test_one_picture_has_a_line_for_each_class() -> None:
    assert lines(result(of_classes("photo.jpg", 0.97312, 0.0211, 0.00004))) == [
        "photo.jpg",
        "   97.3%  tench, Tinca tinca",
        "    2.1%  goldfish, Carassius auratus",
        "   <0.1%  great white shark, white shark, man-eater",
        "",
        "model     convnext-edge-out/tiny.onnx on openvino",
        "pictures  1 in 1.2 s",
    ]


def test_many_pictures_have_a_line_each_with_as_many_classes_as_fit() -> None:
    made = result(*(of_classes(path, 0.9, 0.05, 0.01) for path in ("a.png", "b.png", "c.png") * 2))
    shown = lines(made)
    assert shown[0] == "a.png   90.0%  tench, Tinca tinca    5.0%  goldfish, Carassius auratus"
    assert len(shown) == 6 + 3


@pytest.mark.parametrize("count", [1, 4, 5, 30])
def test_the_table_fits_80_columns_whatever_the_names(count: int) -> None:
    paths = [PATHS[number % 3] for number in range(count)]
    classes = [of_classes(path, *np.linspace(0.9, 0.1, 7)) for path in paths]
    values = [Prediction(path, values=tuple(np.linspace(-1e6, 1e-7, 40))) for path in paths]
    vectors = [
        Prediction(path, norm=12.3456, first=(-1.23456,) * 5, shapes={"map": (768, 7, 7)}) for path in paths
    ]
    shapes = {f"map{stage}": (96 * 2**stage, 56 // 2**stage, 56 // 2**stage) for stage in range(4)}
    maps = [Prediction(path, shapes=shapes) for path in paths]
    assert widest(result(*classes)) <= 80
    assert widest(result(*classes, task="multilabel", threshold=0.5)) <= 80
    assert widest(result(*values, task="regress")) <= 80
    assert widest(result(*vectors[:10], task="embed")) <= 80
    assert widest(result(*maps, task="features")) <= 80
    assert "map3 768x7x7" in lines(result(*maps, task="features"))[0]


def test_a_long_path_is_shortened_in_its_middle() -> None:
    alone = lines(result(*(of_classes(path, 0.9) for path in PATHS * 2)))
    assert alone[1] == f"{PATHS[1]}   90.0%  {LABELS[0]}"  # there is room
    shown = lines(result(*(of_classes(path, 0.9) for path in ["a/" * 50 + "b.png", *PATHS, "c.png"])))
    assert re.fullmatch(r"(a/)+a?…/?(a/)+b\.png +90\.0%  tench, Tinca tinca", shown[0]), shown[0]
    assert len(shown[0]) <= 80


def test_what_has_no_room_is_counted() -> None:
    labels = result(*(of_classes("a.png", *[0.9] * 9) for _ in range(5)), task="multilabel", threshold=0.5)
    assert re.search(r"  \+\d$", lines(labels)[0])
    values = result(Prediction("a.png", values=tuple(map(float, range(100)))), task="regress")
    told, rest = re.fullmatch(r"a\.png  (.*)  \+(\d+)", lines(values)[0]).groups()  # type: ignore[union-attr]
    assert len(told.split()) + int(rest) == 100


def test_a_picture_without_a_label_says_so() -> None:
    made = result(
        *(of_classes(f"{n}.png", *[0.8] * (n % 2)) for n in range(6)), task="multilabel", threshold=0.5
    )
    assert lines(made)[0] == "0.png  no label over 50.0%"
    assert lines(made)[1].startswith("1.png   80.0%  tench")


def test_pictures_that_could_not_be_read_are_counted() -> None:
    made = result(of_classes("a.png", 0.9), failed=2)
    assert lines(made)[-1] == "pictures  1 of 3 in 1.2 s; 2 could NOT be read"
    assert made.exit_code == 1
    assert result(of_classes("a.png", 0.9)).exit_code == 0


def test_names_cannot_write_to_the_terminal() -> None:
    made = result(of_classes("bad\nname\x1b[31m\u202e.png", 0.9))
    assert lines(made)[0] == "bad\\nname\\x1b[31m\\u202e.png"
    assert made.to_json()["predictions"][0]["picture"] == "bad\nname\x1b[31m\u202e.png"


@pytest.mark.parametrize(
    ("text", "width", "middle", "expected"),
    [
        ("abcdef", 6, True, "abcdef"),
        ("abcdefg", 6, True, "ab…efg"),
        ("abcdefg", 6, False, "abcde…"),
        ("猫猫猫猫", 7, False, "猫猫猫…"),
        ("猫猫猫猫", 6, False, "猫猫…"),
        ("猫猫猫猫", 7, True, "猫…猫"),
    ],
)
def test_a_text_is_shortened_to_columns_not_to_letters(
    text: str, width: int, middle: bool, expected: str
) -> None:
    assert shorten(text, width, middle=middle) == expected
    assert cell_len(expected) <= width


@pytest.mark.parametrize(
    ("task", "row", "shown"),
    [
        ("classify", Prediction("a.png", top=(Top("frog", 6, 0.75), Top("cat", 3, 0.25))), ["frog", "0.75"]),
        ("multilabel", Prediction("a.png", top=(Top("dog", 1, 0.9), Top("cat", 0, 0.6))), ["dog, cat"]),
        (
            "segment",
            Prediction("a.png", classes=(Area("sky", 2, 0.625), Area("sea", 1, 0.375))),
            ["sky", "0.625"],
        ),
        (
            "detect",
            Prediction("a.png", objects=(Object("cat", 4, 0.875, BOX, {}), Object("dog", 6, 0.75, BOX, {}))),
            ["2", "cat", "0.875"],
        ),
        ("regress", Prediction("a.png", values=(1.5, -2.0)), ["1.5", "-2"]),
    ],
)
@pytest.mark.parametrize("pictures", [1, 3])
def test_a_notebook_shows_the_answer_to_each_picture(
    task: Task, row: Prediction, shown: list[str], pictures: int
) -> None:
    """Lists, as the JSON has them, are no cells: without single values the table would have names alone."""
    cells = re.findall("<td>([^<]*)</td>", result(*[row] * pictures, task=task)._repr_html_())
    assert [cells.count(value) for value in ["a.png", *shown]] == [pictures] * (1 + len(shown))


def test_a_picture_without_objects_has_a_row_of_its_own_in_a_notebook() -> None:
    (row,) = result(Prediction("a.png"), task="detect").table_rows()
    assert (row["picture"], row["count"], row["label"], row["score"]) == ("a.png", 0, "", 0)


def test_the_place_of_both_pictures_of_a_segmenter_is_told() -> None:
    row = Prediction(
        "a.png",
        classes=(Area("sky", 2, 1.0),),
        label_map=Path("maps/a.labels.png"),
        overlay=Path("maps/a.overlay.png"),
    )
    assert "maps      maps, as a.labels.png and a.overlay.png" in lines(result(row, task="segment"))


def test_the_name_of_an_object_at_the_right_edge_is_drawn_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(
        ImageDraw.ImageDraw, "text", lambda _, place, text, **__: written.append((place, text))
    )
    boxes, masks = np.array([[[80, 10, 96, 40]]], np.float32), np.ones((1, 1, 28, 28), np.float32)
    (found,) = split((boxes, np.array([[1]]), np.array([[0.75]], np.float32), masks))
    overlay(np.zeros((96, 96, 3), np.uint8), found, ("cat", "airplane"), 0.5)
    (((left, top), text),) = written
    length = ImageDraw.Draw(Image.new("RGB", (96, 96))).textlength("airplane 0.75")
    assert (text, top, left) == ("airplane 0.75", 12, 96 - length)
