"""Images in a Parquet file of the Hugging Face image schema: `image` {bytes, path} and `label`."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

from convnext_edge.errors import ImageSetError
from convnext_edge.images.contents import UNLABELLED, Entry
from convnext_edge.progress import note
from convnext_edge.reading import MAX_BYTES, DamagedError, Shape, check, parse_json

CACHED_ROW_GROUPS = 2  # images are read in order, by threads that may straddle one border
MAX_ROWS = 2**24  # ImageNet-21k has 14 million images; the names of more would fill the memory
MOST_CLASSES = 2**31
MAX_GROUP_BYTES = 2**28  # of a group of rows, which is read at once, however small the file is
MAX_RATIO = 4  # of unpacked bytes to those of the file, beyond that
TEXTS = ("string", "large_string", "null")  # of a path; null where no row has one
SCHEMA_HINT = (
    "Give a file of the Hugging Face schema: image: struct<bytes: binary, path: string>, label: int64."
)


class LabelShape(Shape):
    """Shape of a `ClassLabel`, as far as it is read."""

    names: list[str] = []


class FeaturesShape(Shape):
    """Shape of the columns' descriptions; that of the images may be anything."""

    label: LabelShape = LabelShape()


class InfoShape(Shape):
    """Shape of what `datasets` says of the columns."""

    features: FeaturesShape = FeaturesShape()


class MetadataShape(Shape):
    """Shape of what `datasets` keeps in the schema of a Parquet file."""

    info: InfoShape = InfoShape()


class ParquetStorage:
    """The rows of a Parquet file; `entries` are in the order of the rows, so that reading is sequential."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, Any] = OrderedDict()
        self._file = _open(path)
        with _sound(path):
            _check_sizes(path, self._file.metadata)
            columns = _columns(path, self._file.schema_arrow)
            paths, labels = _names_and_labels(self._file, columns)
            self._rows = dict(zip(_member_names(paths), self._positions(), strict=True))
        self.names = tuple(self._rows)
        self.entries = tuple(
            Entry(name, UNLABELLED if label is None else label)
            for name, label in zip(self.names, labels, strict=True)
        )
        self.classes = _class_names(path, self._file.schema_arrow)
        _check(path, self.entries, self.classes)

    def _positions(self) -> list[tuple[int, int]]:
        """Return the row group of each row of the file, and its number within that group."""
        metadata = self._file.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        return [(group, row) for group, size in enumerate(sizes) for row in range(size)]

    def read(self, name: str) -> bytes:
        group, row = self._rows[name]
        with _sound(self._path, f"image {name}"), self._lock:
            image = self._images(group)[row].as_py()
        data = None if image is None else image["bytes"]
        if data is None:
            raise ImageSetError(f"{name} has no bytes in {self._path}")
        return bytes(data)

    def _images(self, group: int) -> Any:
        if group not in self._cache:
            table = self._file.read_row_group(group, columns=["image.bytes"])
            self._cache[group] = table["image"]
            while len(self._cache) > CACHED_ROW_GROUPS:
                self._cache.popitem(last=False)
        return self._cache[group]


def _open(path: Path) -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ImageSetError(
            f"{path} needs pyarrow, which is not installed",
            hint="Install it: pip install 'convnext-edge[parquet]'",
        ) from error
    with _sound(path):
        return parquet.ParquetFile(path)


@contextmanager
def _sound(path: Path, part: str = "it") -> Iterator[None]:
    """Turn whatever pyarrow raises inside, which depends on where the damage is, into an ImageSetError."""
    try:
        yield
    except (ImageSetError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageSetError(
            f"{path} is not a readable Parquet file, or {part} is damaged: {shorten(reason, 200)}",
            hint="Get it again.",
        ) from error


def _check_sizes(path: Path, metadata: Any) -> None:
    """Refuse a file that claims to unpack to more than its bytes can: images are hardly compressed."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    claimed = max((group.total_byte_size for group in groups), default=0)
    size = path.stat().st_size
    if metadata.num_rows > MAX_ROWS or claimed > MAX_GROUP_BYTES + MAX_RATIO * size:
        raise ImageSetError(
            f"{path} ({size:,} bytes) claims {metadata.num_rows:,} rows, and {claimed:,} bytes of one group",
            hint="It is damaged, or a trap: get it again from its source.",
        )


def _names_and_labels(file: Any, columns: list[str]) -> tuple[list[str | None], list[int | None]]:
    """Return the path of each row and its label, either None where the row has none."""
    rows = file.read(columns=columns)
    paths = [None if image is None else image["path"] for image in rows["image"].to_pylist()]
    return paths, rows["label"].to_pylist() if "label" in columns else [None] * len(paths)


def _columns(path: Path, schema: Any) -> list[str]:
    """Return the columns that name and label the rows; the bytes would not fit into memory."""
    types = {field.name: str(field.type) for field in schema}
    image = shorten(types.get("image", "missing"), 200)
    parts = {} if "image" not in types else _parts(schema.field("image").type)
    if parts.get("bytes") not in ("binary", "large_binary") or parts.get("path") not in TEXTS:
        raise ImageSetError(
            f"{path} has no image column of the expected type: image is {image}", hint=SCHEMA_HINT
        )
    if not types.get("label", "int64").startswith(("int", "uint")):
        raise ImageSetError(f"{path} has labels of type {types['label']}, not integers", hint=SCHEMA_HINT)
    if "label" not in types and len(types) > 1:
        others = shorten(", ".join(name for name in types if name != "image"), 200)
        note(f"no labels are taken from {path.name}: it has no column `label`, but {others}")
    return ["image.path", "label"] if "label" in types else ["image.path"]


def _parts(kind: Any) -> dict[str, str]:
    """Return the types in a struct by name; none for another type."""
    from pyarrow import types

    return {field.name: str(field.type) for field in kind} if types.is_struct(kind) else {}


def _check(path: Path, entries: tuple[Entry, ...], classes: tuple[str, ...]) -> None:
    if not entries:
        raise ImageSetError(f"{path} holds no images: it has no rows", hint="Give another file.")
    labels = {entry.label for entry in entries}
    if labels == {UNLABELLED}:
        return
    limit = len(classes) or MOST_CLASSES
    outside = sorted(label for label in labels if not 0 <= label < limit)
    if outside:
        raise ImageSetError(
            f"{path} has the label {outside[0]}; the largest is {max(labels)}, for {len(classes)} names",
            hint="Labels are 0-based indices of the names; a set without labels has -1 in every row.",
        )


def _member_names(paths: list[str | None]) -> tuple[str, ...]:
    """Name each row by its path where all paths are different, else by its number."""
    if None not in paths and len(set(paths)) == len(paths):
        return tuple(str(path) for path in paths)
    return tuple(f"{row:08d}" for row in range(len(paths)))


def _class_names(path: Path, schema: Any) -> tuple[str, ...]:
    """Return the names of a `ClassLabel`, which `datasets` keeps as JSON in the schema's metadata."""
    text = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        metadata = parse_json(text[: MAX_BYTES + 1])
        check(metadata, MetadataShape)
    except DamagedError as error:
        raise ImageSetError(
            f"{path} has damaged metadata of Hugging Face: {error}", hint="Save it again with `datasets`."
        ) from error
    return tuple(metadata.get("info", {}).get("features", {}).get("label", {}).get("names", ()))
