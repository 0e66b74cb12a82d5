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
