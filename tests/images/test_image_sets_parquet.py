"""Image sets in Parquet files of the Hugging Face image schema."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.image_sets import refusal
from support.needs import package

from convnext_edge.images.opening import open_image_set

pa = package("pyarrow", "pip install 'convnext-edge[parquet]'", module=True)
pq = package("pyarrow.parquet", "pip install 'convnext-edge[parquet]'", module=True)


def photo(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def save_parquet(path: Path, labels: list[int] | None, **changes: object) -> list[bytes]:
    """Rows as the `datasets` library writes them, in row groups of two."""
    contents = [photo(seed) for seed in range(5)]
    rows = [{"bytes": data, "path": f"{index}.png"} for index, data in enumerate(contents)]
    names = {"info": {"features": {"label": {"names": ["cat", "owl"], "_type": "ClassLabel"}}}}
    columns = {"image": rows, **({} if labels is None else {"label": labels}), **changes}
    table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(names)})
    pq.write_table(table, path, row_group_size=2)
    return contents


def test_parquet_rows_are_images_with_the_names_of_their_classes(tmp_path: Path) -> None:
    contents = save_parquet(tmp_path / "val.parquet", [1, 0, 0, 1, 1])
    images = open_image_set(str(tmp_path / "val.parquet"))
    assert images.classes == ("cat", "owl")
    assert [(entry.name, entry.label) for entry in images.entries] == [
        ("0.png", 1),
        ("1.png", 0),
        ("2.png", 0),
        ("3.png", 1),
        ("4.png", 1),
    ]
    assert [images.contents.read(entry.name) for entry in reversed(images.entries)] == contents[::-1]


@pytest.mark.parametrize("labels", [None, [-1] * 5])
def test_parquet_without_labels(tmp_path: Path, labels: list[int] | None) -> None:
    save_parquet(tmp_path / "val.parquet", labels)
    assert not open_image_set(str(tmp_path / "val.parquet")).labelled


def test_labels_in_a_column_of_another_name_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    save_parquet(tmp_path / "val.parquet", None, fine_label=[0] * 5)
    assert not open_image_set(str(tmp_path / "val.parquet")).labelled
    assert "val.parquet: it has no column `label`, but fine_label" in caplog.text


@pytest.mark.parametrize("path_in_row", [None, "same.png"])
def test_rows_that_their_paths_do_not_tell_apart_are_named_by_number(
    tmp_path: Path, path_in_row: str | None
) -> None:
    schema = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    rows = pa.array([{"bytes": b"x", "path": path_in_row}] * 5, schema)
    save_parquet(tmp_path / "val.parquet", [0] * 5, image=rows)
    names = [entry.name for entry in open_image_set(str(tmp_path / "val.parquet")).entries]
    assert names == [f"{row:08d}" for row in range(5)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"picture": [b"x"], "label": [0]}, "image is missing"),
        ({"image": [b"x"], "label": [0]}, "image is binary"),
        ({"image": [{"bytes": b"x", "path": "a"}], "label": ["cat"]}, "labels of type string"),
    ],
)
def test_parquet_of_another_schema_is_refused(
    tmp_path: Path, columns: dict[str, list[object]], message: str
) -> None:
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table(columns), path)
    error = refusal(path)
    assert message in error.message
    assert "Hugging Face schema" in error.hint


def test_parquet_with_a_label_out_of_range_is_refused(tmp_path: Path) -> None:
    save_parquet(tmp_path / "val.parquet", [0, 1, 2, 0, 0])
    assert "the label 2" in refusal(tmp_path / "val.parquet").message


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "val.parquet").write_bytes(b"PAR1 not really")
    assert "not a readable Parquet file" in refusal(tmp_path / "val.parquet").message


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "val.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    error = refusal(tmp_path / "val.parquet")
    assert "needs pyarrow" in error.message
    assert "pip install 'convnext-edge[parquet]'" in error.hint


# Several files


def save_shards(folder: Path, split: str, count: int, digest: str = "", **changes: object) -> list[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    contents: list[bytes] = []
    for number in range(count):
        name = f"{split}-{number:05d}-of-{count:05d}{digest}.parquet"
        contents += save_parquet(folder / name, [number % 2] * 5, **changes)
    return contents


@pytest.mark.parametrize("inside", ["", "data"])
def test_shards_are_one_set_in_their_order(inside: str, tmp_path: Path) -> None:
    contents = save_shards(tmp_path / inside, "train", 3, digest="-0123abcd" if inside else "")
    images = open_image_set(str(tmp_path))
    assert images.classes == ("cat", "owl")
    assert [entry.label for entry in images.entries] == [0] * 5 + [1] * 5 + [0] * 5
    assert len({entry.name for entry in images.entries}) == 15
    assert [images.contents.read(entry.name) for entry in images.entries] == contents


def test_one_split_of_several_is_named_behind_the_folder(tmp_path: Path) -> None:
    save_shards(tmp_path, "train", 2)
    save_shards(tmp_path, "validation", 1)
    error = refusal(tmp_path)
    assert "Parquet files of 2 splits: train, validation" in error.message
    assert str(tmp_path / "train") in error.hint
    assert [len(open_image_set(tmp_path / split)) for split in ("train", "validation")] == [10, 5]
    assert open_image_set(tmp_path / "train").name == "train"
    assert "neither a named image set nor an existing path" in refusal(tmp_path / "test").message


def test_a_missing_shard_is_an_error(tmp_path: Path) -> None:
    save_shards(tmp_path, "train", 4)
    (tmp_path / "train-00002-of-00004.parquet").unlink()
    assert "lacks 1 of 4 shards, such as number 2" in refusal(tmp_path).message


def test_shards_of_two_downloads_or_of_other_classes_are_refused(tmp_path: Path) -> None:
    save_shards(tmp_path / "two", "train", 2)
    save_shards(tmp_path / "two", "train", 3)
    assert "shards that do not belong together" in refusal(tmp_path / "two").message
    save_shards(tmp_path / "other", "train", 2)
    path = tmp_path / "other" / "train-00001-of-00002.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata({}), path)
    assert "names other classes than train-00000-of-00002.parquet" in refusal(tmp_path / "other").message
    save_shards(tmp_path / "mixed", "train", 2)
    save_parquet(tmp_path / "mixed" / "train-00001-of-00002.parquet", None)
    assert "has no labels, and train-00000-of-00002.parquet has" in refusal(tmp_path / "mixed").message
