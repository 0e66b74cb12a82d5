"""Labels of flat folders: the files that are understood, and those that are refused."""

from __future__ import annotations

import codecs
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.image_sets import refusal
from support.needs import package

from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.opening import open_image_set

SYNSETS = [f"n{index:08d}" for index in range(1000)]  # as many as ImageNet has, sorted
DEVKIT_ORDER = SYNSETS[1:] + SYNSETS[:1]  # any order but the sorted one
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


def image_name(number: int) -> str:
    return f"ILSVRC2012_val_{number:08d}.JPEG"


@pytest.fixture
def val(tmp_path: Path) -> Path:
    """The first three images of the validation set, in a folder of their own."""
    folder = tmp_path / "imagenet" / "val"
    folder.mkdir(parents=True)
    for number in (1, 2, 3):
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(folder / image_name(number))
    return folder


def write_lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def labels(images: ImageSet) -> list[int]:
    return [entry.label for entry in images.entries]


def test_without_a_label_file_there_are_no_labels(val: Path) -> None:
    assert not open_image_set(str(val)).labelled


@pytest.mark.parametrize("place", ["val/val_map.txt", "val.txt", "devkit/labels.txt", "devkit/data/val.txt"])
def test_labels_are_found_beside_above_and_in_the_devkit(val: Path, place: str) -> None:
    write_lines(val.parent / place, [f"{image_name(number)} {number * 10}" for number in (3, 1, 2, 4)])
    images = open_image_set(str(val))
    assert labels(images) == [10, 20, 30]
    assert images.classes == ()


@pytest.mark.parametrize("opened", [".", "val"])
def test_a_list_of_synsets_names_the_classes(val: Path, opened: str) -> None:
    write_lines(val.parent / "val_map.txt", [f"{image_name(number)} {number}" for number in (1, 2, 3)])
    write_lines(val.parent / "synset_words.txt", [f"{synset} some, thing" for synset in SYNSETS])
    images = open_image_set(str(val.parent / opened))
    assert images.classes == tuple(SYNSETS)
    assert labels(images) == [1, 2, 3]


def test_synsets_in_place_of_numbers_are_converted_by_the_list(val: Path) -> None:
    write_lines(val / "val_synsets.txt", [f"val/{image_name(n)} {SYNSETS[n * 100]}" for n in (1, 2, 3)])
    write_lines(val / "synset_words.txt", SYNSETS)
    assert labels(open_image_set(str(val))) == [100, 200, 300]


def test_synsets_without_the_list_are_refused_as_their_numbers_are_unknown(val: Path) -> None:
    write_lines(val / "val_synsets.txt", [f"{image_name(n)} {SYNSETS[n]}" for n in (1, 2, 3)])
    error = refusal(val)
    assert "names 3 synsets, not all 1000" in error.message
    assert "synset_words.txt" in error.hint


def test_a_synset_that_is_not_in_the_list_is_refused(val: Path) -> None:
    write_lines(val / "val_synsets.txt", [f"{image_name(n)} n99999999" for n in (1, 2, 3)])
    write_lines(val / "synset_words.txt", SYNSETS)
    assert "n99999999, which is not among the 1000" in refusal(val).message


def test_the_layout_of_kaggle_is_understood(val: Path) -> None:
    deep = val.parent / "ILSVRC" / "Data" / "CLS-LOC"
    deep.mkdir(parents=True)
    val.rename(deep / "val")
    rows = [
        f"{image_name(n).removesuffix('.JPEG')},{SYNSETS[n]} 1 2 30 40 {SYNSETS[n]} 5 6 7 8"
        for n in (1, 2, 3)
    ]
    write_lines(val.parent / "LOC_val_solution.csv", ["ImageId,PredictionString", *rows])
    write_lines(val.parent / "LOC_synset_mapping.txt", [f"{synset} thing" for synset in SYNSETS])
    images = open_image_set(str(deep / "val"))
    assert labels(images) == [1, 2, 3]
    assert len(images.classes) == 1000


def test_other_images_take_labels_only_from_files_beside_them(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "val" / "0001.png")
    write_lines(tmp_path / "train.txt", ["0001.png 7"])
    assert not open_image_set(str(tmp_path / "val")).labelled
    write_lines(tmp_path / "val" / "val.txt", ["0001.png 4"])
    assert labels(open_image_set(str(tmp_path / "val"))) == [4]


def test_a_text_about_images_that_gives_no_labels_is_ignored(val: Path) -> None:
    write_lines(val / "sizes.txt", [f"{image_name(n)} 500 375" for n in (1, 2, 3)])
    write_lines(val / "captions.txt", [f"{image_name(n)} shark" for n in (1, 2, 3)])
    assert not open_image_set(str(val)).labelled


def test_an_incomplete_label_file_is_refused(val: Path) -> None:
    write_lines(val / "val_map.txt", [f"{image_name(1)} 5"])
    error = refusal(val)
    assert f"val_map.txt has no label for 2 of 3 images, such as {image_name(2)}" in error.message
    assert "complete" in error.hint


@pytest.mark.parametrize("wrong", [1000, -1])
def test_a_label_out_of_range_is_refused(val: Path, wrong: int) -> None:
    write_lines(val / "val_map.txt", [f"{image_name(1)} 5", f"{image_name(2)} 7", f"{image_name(3)} {wrong}"])
    error = refusal(val)
    assert f"the label {wrong}, outside of 0..999" in error.message
    assert "0-based" in error.hint


def test_mixed_kinds_of_labels_are_refused(val: Path) -> None:
    write_lines(
        val / "val_map.txt", [f"{image_name(1)} 5", f"{image_name(2)} {SYNSETS[2]}", f"{image_name(3)} 1"]
    )
    assert "mixes numbers and synset ids" in refusal(val).message


def test_label_files_that_differ_are_refused(val: Path) -> None:
    for file, first in (("a.txt", 0), ("b.txt", 1)):
        write_lines(val / file, [f"{image_name(number)} {first + number}" for number in (1, 2, 3)])
    error = refusal(val)
    assert "a.txt" in error.message
    assert "b.txt" in error.message


def test_the_nearer_label_file_wins(val: Path) -> None:
    write_lines(val / "val_map.txt", [f"{image_name(number)} 1" for number in (1, 2, 3)])
    write_lines(val.parent / "val_map.txt", [f"{image_name(number)} 2" for number in (1, 2, 3)])
    assert labels(open_image_set(str(val))) == [1, 1, 1]


# The devkit's ground truth: one ILSVRC2012_ID a line, 1-based, in the devkit's own order


@pytest.mark.parametrize("folder", ["val", ".", "ILSVRC2012_devkit_t12/data"])
@pytest.mark.parametrize("row", ["{synset} {id} a_name", "{id} {synset}"])
def test_ground_truth_is_converted_by_a_list_of_ids(val: Path, folder: str, row: str) -> None:
    write_lines(val.parent / folder / GROUND_TRUTH, ["1", "500", "1000"])
    rows = [row.format(synset=synset, id=index + 1) for index, synset in enumerate(DEVKIT_ORDER)]
    write_lines(val.parent / folder / "map_clsloc.txt", rows)
    images = open_image_set(str(val))
    assert images.classes == tuple(SYNSETS)
    assert labels(images) == [1, 500, 0]


def save_meta(path: Path) -> None:
    """meta.mat as the devkit has it: 1000 leaves, and the inner nodes of the hierarchy behind them."""
    fields = [("ILSVRC2012_ID", object), ("WNID", object), ("num_children", object)]
    rows = [(index + 1, synset, 0) for index, synset in enumerate(DEVKIT_ORDER)] + [(1001, "n88888888", 3)]
    path.parent.mkdir(parents=True, exist_ok=True)
    matlab = package("scipy.io", "pip install scipy")
    matlab.savemat(path, {"synsets": np.array(rows, dtype=fields).reshape(-1, 1)})


def test_ground_truth_is_converted_by_the_meta_data_of_the_devkit(val: Path) -> None:
    data = val.parent / "ILSVRC2012_devkit_t12" / "data"
    save_meta(data / "meta.mat")
    write_lines(data / GROUND_TRUTH, ["1", "500", "1000"])
    assert labels(open_image_set(str(val))) == [1, 500, 0]


@pytest.mark.parametrize("listed", [0, 999])
def test_ground_truth_alone_is_refused(val: Path, listed: int) -> None:
    write_lines(val / GROUND_TRUTH, ["1", "500", "1000"])
    write_lines(
        val / "ids.txt", [f"{synset} {index + 1}" for index, synset in enumerate(DEVKIT_ORDER[:listed])]
    )
    error = refusal(val)
    assert f"{GROUND_TRUTH} numbers the classes in an order of its own" in error.message
    assert "map_clsloc.txt" in error.hint
    assert "SciPy" in error.hint


def test_a_list_of_synsets_does_not_explain_the_ground_truth(val: Path) -> None:
    write_lines(val / GROUND_TRUTH, ["1", "500", "1000"])
    write_lines(val / "synset_words.txt", SYNSETS)
    assert "which no file here explains" in refusal(val).message


def test_ground_truth_that_is_too_short_is_refused(val: Path) -> None:
    write_lines(val / GROUND_TRUTH, ["1", "500"])
    write_lines(
        val / "map_clsloc.txt", [f"{synset} {index + 1}" for index, synset in enumerate(DEVKIT_ORDER)]
    )
    assert "has 2 lines, with ids up to 500: too few for image 3" in refusal(val).message


def test_a_label_file_wins_over_the_ground_truth(val: Path) -> None:
    write_lines(val / GROUND_TRUTH, ["1", "500", "1000"])
    write_lines(val / "val_map.txt", [f"{image_name(number)} {number}" for number in (1, 2, 3)])
    assert labels(open_image_set(str(val))) == [1, 2, 3]


# Encodings


def write_map(val: Path, encoding: str, mark: bytes = b"", name: str = "val_map.txt") -> None:
    """A label file whose second line has a letter that is not ASCII."""
    lines = [f"{image_name(1)} 1", "caf\u00e9.jpg 7", f"{image_name(2)} 2", f"{image_name(3)} 3"]
    (val / name).write_bytes(mark + "\n".join(lines).encode(encoding))


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8-sig", b""),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
    ],
)
def test_utf_8_with_or_without_mark_and_utf_16_with_one_are_read(
    val: Path, encoding: str, mark: bytes
) -> None:
    write_map(val, encoding, mark)
    assert labels(open_image_set(str(val))) == [1, 2, 3]


@pytest.mark.parametrize(
    ("encoding", "mark", "said"),
    [
        ("latin-1", b"", "it is not UTF-8: byte 34 is 0xe9"),
        ("utf-16-le", b"", "byte 1 is 0: it is binary, or UTF-16 without its byte-order mark"),
        ("utf-32-le", codecs.BOM_UTF32_LE, "it is UTF-32 by its byte-order mark"),
    ],
)
def test_labels_in_any_other_encoding_are_an_error(val: Path, encoding: str, mark: bytes, said: str) -> None:
    write_map(val, encoding, mark)
    error = refusal(val)
    assert f"{val}/val_map.txt cannot be read as text" in error.message
    assert said in error.message
    assert error.hint == "Save it as UTF-8."


def test_a_list_of_synsets_in_another_encoding_is_an_error(val: Path) -> None:
    lines = [f"{synset} caf\u00e9" for synset in SYNSETS]
    (val / "synset_words.txt").write_bytes("\n".join(lines).encode("latin-1"))
    write_lines(val / "val_map.txt", [f"{image_name(n)} {n}" for n in (1, 2, 3)])
    assert "synset_words.txt cannot be read as text: it is not UTF-8" in refusal(val).message


def test_a_text_about_something_else_may_be_in_any_encoding(val: Path) -> None:
    write_map(val, "utf-8")
    (val / "readme.txt").write_bytes("caf\u00e9".encode("latin-1"))
    assert labels(open_image_set(str(val))) == [1, 2, 3]


def test_two_labels_for_one_image_are_refused(val: Path) -> None:
    write_lines(
        val / "val_map.txt", [f"{image_name(n)} {n}" for n in (1, 2, 3)] + [f"train/{image_name(2)} 7"]
    )
    assert f"gives {image_name(2)} two labels: " in refusal(val).message


@pytest.mark.parametrize("line", ["{} cat", "{} 3.0", "3 {}", "val\\{} cat"])
def test_a_file_that_names_the_images_in_another_form_is_told_of(
    val: Path, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    write_lines(val / "labels.csv", [line.format(image_name(n)) for n in (1, 2, 3)])
    assert not open_image_set(str(val)).labelled
    assert "labels.csv: it names images, but not in lines of `name label`" in caplog.text
