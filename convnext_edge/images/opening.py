"""Opening an image set by its name or its path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from convnext_edge.errors import ImageSetError, nearest
from convnext_edge.images.archives import (
    COMPRESSED_TAR_SUFFIXES,
    TAR_SUFFIXES,
    ZIP_SUFFIXES,
    CompressedTarStorage,
    TarStorage,
    ZipStorage,
)
from convnext_edge.images.arrangement import arrange, is_image
from convnext_edge.images.coco import annotate, find_annotations
from convnext_edge.images.contents import Contents, Storage
from convnext_edge.images.definitions import (
    ARCHIVE_SUFFIXES,
    PARQUET_SUFFIXES,
    Split,
    definitions,
    locate,
)
from convnext_edge.images.folders import FolderStorage
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.label_maps import IMAGES, MAPS, is_map, pair, root_of
from convnext_edge.images.parquet import ParquetStorage
from convnext_edge.images.shards import ShardStorage, find_shards
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.progress import note


def open_image_set(
    source: AnyPath, *, data_root: AnyPath | None = None, split: Split = "evaluation"
) -> ImageSet:
    """Open the image set called `source`, or at the path `source`; no image is read yet.

    A name is one of the files calibration/NAME.toml. A name comes before a path: write ./NAME for a folder
    of the same name. data_root: folder where named sets are searched, by default $CONVNEXT_EDGE_DATA.
    split: which part of a named set that has two.

    A path is a folder, a .tar, .tar.gz or .zip archive, or a .parquet file of the Hugging Face image
    schema. A folder or archive holds images, with or without a label file, or class folders; a folder may
    hold Parquet files in shards, of which FOLDER/train are those of one split.

    Raises ImageSetError where nothing is found, and for a set that is empty, damaged or ambiguous.
    """
    name, path = find_image_set(source, data_root=data_root, split=split)
    opened = open_path(path, name=name) if path.exists() else _of_rows(name, ShardStorage(find_shards(path)))
    return opened if is_named(source) else replace(opened, place=str(path.resolve()))


def find_image_set(
    source: AnyPath, *, data_root: AnyPath | None = None, split: Split = "evaluation"
) -> tuple[str, Path]:
    """Return the name and the path of the image set that `open_image_set` would open.

    A path that does not exist stands for Parquet files in shards. Raises ImageSetError where nothing is
    found, and for a file of an unknown kind.
    """
    named, path = definitions(), Path(source)
    if is_named(source):
        return str(source), locate(named[str(source)], as_path(data_root), split)
    if not path.exists() and find_shards(path):
        return path.name, path
    if not path.exists():
        raise ImageSetError(
            f"{source} is neither a named image set nor an existing path",
            hint=f"{nearest(str(source), named)}The named sets are {', '.join(named)}; a path may be a folder"
            f" of images or class folders, or an archive ({' '.join(ARCHIVE_SUFFIXES)}).",
        )
    if path.is_file() and not path.name.lower().endswith(ARCHIVE_SUFFIXES):
        raise unknown_kind(path)
    return path.resolve().name, path


def is_named(source: AnyPath) -> bool:
    """Tell whether a source names a set that is defined, and no path."""
    return str(source) in definitions() and (isinstance(source, str) or not Path(source).exists())


def open_path(path: Path, *, name: str) -> ImageSet:
    """Open the images in the folder or file at `path`, as a set called `name`."""
    if path.name.lower().endswith(PARQUET_SUFFIXES) and not path.is_dir():
        return _of_rows(name, ParquetStorage(path))
    storage = with_maps(path) or open_storage(path)
    if path.is_dir() and not any(map(is_image, storage.names)) and (shards := find_shards(path)):
        return _of_rows(name, ShardStorage(shards))
    found = arrange(storage, path)
    contents = Contents(storage, found.prefix)
    if annotations := find_annotations(storage, found.prefix, path):
        told = annotate(found.entries, annotations)
        return ImageSet(name, (), told.entries, contents, categories=told.categories)
    return ImageSet(name, found.classes, found.entries, contents, numbered_by=found.numbered_by)


def with_maps(path: Path) -> Storage | None:
    """Return a folder of pictures together with the label maps beside it; None where there are none.

    Other sets have a folder annotations/, too. A note tells of PNG files in it that are of no picture.
    """
    whole = path.resolve()
    root = root_of(whole) if path.is_dir() else None
    if root is None:
        return None
    part = whole.relative_to(root / IMAGES)
    storage = FolderStorage(root, (f"{IMAGES / part}/", f"{MAPS / part}/"))
    if any(pair([name for name in storage.names if is_image(name)], path)):
        return storage
    if others := [name for name in storage.names if is_map(name)]:
        note(
            f"the files in {root / MAPS}, such as {others[0]}, are no label maps of {path}: those of"
            f" {IMAGES}/.../NAME.jpg are called {MAPS}/.../NAME.png"
        )
    return None


def _of_rows(name: str, rows: ParquetStorage | ShardStorage) -> ImageSet:
    return ImageSet(name, rows.classes, rows.entries, Contents(rows))


def open_storage(path: Path) -> Storage:
    """Open the folder or archive at `path`, whatever it holds."""
    suffix = path.name.lower()
    if path.is_dir():
        return FolderStorage(path)
    if suffix.endswith(ZIP_SUFFIXES):
        return ZipStorage(path)
    if suffix.endswith(TAR_SUFFIXES):
        return TarStorage(path)
    if suffix.endswith(COMPRESSED_TAR_SUFFIXES):
        return CompressedTarStorage(path)
    raise unknown_kind(path)


def unknown_kind(path: Path) -> ImageSetError:
    """Return the error that says which kinds of files hold images."""
    return ImageSetError(
        f"{path} is neither a folder nor an archive of a known kind",
        hint=f"Known are: {' '.join(ARCHIVE_SUFFIXES)}.",
    )
