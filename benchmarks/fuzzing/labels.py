"""Damaged tables of images, and files beside images that tell their labels."""

from __future__ import annotations

import io
import json
from functools import cache
from typing import Any

import numpy as np
import pyarrow
import scipy.io
from hypothesis import strategies as st
from pyarrow import parquet

from benchmarks.fuzzing.edits import damaged, damaged_json
from benchmarks.fuzzing.sets import NAMES, NUMBERS, Files, photo

# --- Parquet ---------------------------------------------------------------------------------------

IMAGE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
FEATURES = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
ROWS: tuple[Any, ...] = (
    {"bytes": photo(), "path": "1.png"}, {"bytes": photo("JPEG"), "path": "2.jpg"}, {"bytes": None, "path": "3"},  # noqa: E501
    {"bytes": b"", "path": None}, {"bytes": b"text", "path": "../4.png"}, None,
)  # fmt: skip
IMAGES = (
    IMAGE,
    pyarrow.struct([("bytes", pyarrow.string()), ("path", pyarrow.string())]),
    pyarrow.struct([("bytes", pyarrow.large_binary()), ("path", pyarrow.large_string())]),
    pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.binary())]),
    pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.int64())]),
    pyarrow.struct([("bytes", pyarrow.struct([("bytes", pyarrow.binary())])), ("path", pyarrow.string())]),
    pyarrow.string(),
    pyarrow.list_(IMAGE),
)
LABELS = (
    pyarrow.int64(), pyarrow.uint64(), pyarrow.int8(), pyarrow.float32(), pyarrow.string(), pyarrow.bool_(),
    pyarrow.list_(pyarrow.int64()), pyarrow.null(),
)  # fmt: skip


@cache
def sound_table() -> bytes:
    """Return the file that `datasets` would write."""
    return _table([*ROWS[:2]] * 3, [0, 1] * 3, json.dumps(FEATURES).encode(), IMAGE, pyarrow.int64())


def _table(rows: list[Any], labels: list[Any], metadata: bytes, image: Any, label: Any) -> bytes:
    fields = [pyarrow.field("image", image), pyarrow.field("label", label)]
    schema = pyarrow.schema(fields, {b"huggingface": metadata})
    columns = [pyarrow.array(rows, image), pyarrow.array(labels, label)]
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(columns, schema=schema), buffer, row_group_size=2)
    return buffer.getvalue()


@st.composite
def parquets(draw: st.DrawFn) -> bytes:
    """Return a Parquet file: damaged bytes, or odd rows, types and metadata."""
    if draw(st.booleans()):
        return draw(damaged(sound_table()))
    rows = draw(st.lists(st.sampled_from(ROWS), max_size=4))
    labels = draw(st.lists(st.sampled_from((0, 1, None, -1, 7, 99)), min_size=len(rows), max_size=len(rows)))
    metadata = draw(st.sampled_from((b"", b"{", b"[]", b"\xff", b"null")) | damaged_json(FEATURES))
    image = draw(st.sampled_from((IMAGE, IMAGE, *IMAGES)))
    label = draw(st.sampled_from((LABELS[0], LABELS[0], *LABELS)))
    try:
        return _table(rows, labels, metadata, image, label)
    except (pyarrow.ArrowException, TypeError, ValueError, OverflowError):  # rows that a type cannot hold
        return _table([None] * len(rows), [None] * len(rows), metadata, image, label)


# --- labels ----------------------------------------------------------------------------------------

SYNSETS = tuple(f"n{number:08d}" for number in range(1, 4))


@st.composite
def label_files(draw: st.DrawFn) -> Files:
    """Return a flat set with a label file of any kind."""
    rows = draw(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NUMBERS)), max_size=5))
    separator, end = (
        draw(st.sampled_from((" ", ",", "\t", "  "))),
        draw(st.sampled_from(("\n", "\r\n", "\r"))),
    )
    text = end.join(separator.join(row) for row in rows)
    form = draw(st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32")))
    content = text.encode(form) if draw(st.booleans()) else draw(damaged(b"1.png 0\n2.png 1\n"))
    name = draw(st.sampled_from(("labels.txt", "val_map.txt", "LOC_val_solution.csv", "labels.mat")))
    return {"1.png": photo(), "2.png": photo(), name: content}


CELLS = (
    *NUMBERS,
    *NAMES,
    "cat",
    "dog|cat",
    "cat;dog",
    "dog cat",
    "a,b",
    '"cat',
    "label",
    "labels",
    "true",
    "\0",
)


@st.composite
def label_tables(draw: st.DrawFn) -> Files:
    """Return a flat set with a table of labels: odd cells, lines of other lengths, damaged bytes."""
    sound = draw(st.sampled_from(("file,x,y\n1.png,0,1\n2.png,1,1\n", "id,labels\n1,cat|dog\n2,\n")))
    rows = [line.split(",") for line in sound.splitlines()]
    for _ in range(draw(st.integers(0, 4))):
        row = draw(st.sampled_from(rows))
        row[draw(st.integers(0, len(row) - 1))] = draw(st.sampled_from(CELLS))
        rows += draw(st.sampled_from(([], [row[:-1] or ["1.png"]], [[*row, "1"]])))
    mark = draw(st.sampled_from((",", ";", "\t")))
    content = "\n".join(mark.join(row) for row in rows).encode()
    content = draw(damaged(content)) if draw(st.booleans()) else content
    return {"1.png": photo(), "2.png": photo(), "labels.csv": content}


@st.composite
def shards(draw: st.DrawFn) -> Files:
    """Return a folder of Parquet files whose names or contents do not fit together."""
    names = draw(st.lists(st.sampled_from(SHARDS), min_size=1, max_size=3, unique=True))
    return {name: draw(parquets()) if draw(st.booleans()) else sound_table() for name in names}


SHARDS = (
    "train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "train-1-of-2.parquet",
    "data/train-0-of-1-ab.parquet", "train-9-of-2.parquet", "test-0-of-999999999.parquet", "all.parquet",
    "train-0-of-0.parquet",
)  # fmt: skip


@st.composite
def synset_files(draw: st.DrawFn) -> Files:
    """Return class folders, or a flat set labelled by synsets, with a list of synsets beside."""
    listed = "".join(f"{synset} animal, beast\n" for synset in SYNSETS).encode()
    listed = draw(damaged(listed)) if draw(st.booleans()) else listed
    if draw(st.booleans()):
        return {f"{SYNSETS[0]}/1.png": photo(), f"{SYNSETS[1]}/2.png": photo(), "synset_words.txt": listed}
    labels = draw(damaged(f"1.png {SYNSETS[0]}\n2.png {SYNSETS[2]}\n".encode()))
    return {"1.png": photo(), "2.png": photo(), "labels.txt": labels, "synset_words.txt": listed}


@cache
def meta() -> bytes:
    """Return a meta.mat as the devkit of ImageNet has it."""
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")]
    records = np.array([(i + 1, f"n{i:08d}", 0) for i in range(1000)], kind).reshape(-1, 1)
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"synsets": records}, do_compression=True)
    return buffer.getvalue()


ODD_META: tuple[Any, ...] = (
    {"synsets": 3}, {"other": 1}, {"synsets": np.zeros(3)}, {"synsets": "text"}, {"synsets": {"WNID": "x"}},
    {"synsets": np.array([(1, "n1")], [("ILSVRC2012_ID", "O"), ("WNID", "O")])},
    {"synsets": np.array([("x", 3, [])], [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")])},
    {"synsets": np.array([(np.nan, "n1", 0)], [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")])},  # noqa: E501
    {"synsets": np.zeros((4000, 4000))},
)  # fmt: skip


@st.composite
def devkits(draw: st.DrawFn) -> Files:
    """Return two images of the validation set with a devkit, of which a part is damaged."""
    matrix, truth = meta(), b"".join(b"%d\n" % (number % 1000 + 1) for number in range(5))
    which = draw(st.sampled_from(("meta", "meta", "odd", "truth", "text")))
    if which == "meta":
        matrix = draw(damaged(matrix))
    elif which == "odd":
        buffer = io.BytesIO()
        scipy.io.savemat(buffer, draw(st.sampled_from(ODD_META)), do_compression=draw(st.booleans()))
        matrix = buffer.getvalue()
    else:
        truth = draw(damaged(truth))
    pictures = {f"ILSVRC2012_val_0000000{number}.JPEG": photo("JPEG") for number in (1, 2)}
    if which == "text":
        rows = b"".join(b"n%08d %d x\n" % (i, i + 1) for i in range(1000))
        given = {"map_clsloc.txt": draw(damaged(rows))}
    else:
        given = {"meta.mat": matrix}
    return {**pictures, **given, "ILSVRC2012_validation_ground_truth.txt": truth}
