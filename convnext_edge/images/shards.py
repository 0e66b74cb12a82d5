"""Folders of Parquet files as `datasets` writes them: train-00000-of-00004.parquet and so on are one set."""

from __future__ import annotations

import re
from pathlib import Path

from convnext_edge.errors import ImageSetError, first_few
from convnext_edge.images.contents import UNLABELLED, Entry
from convnext_edge.images.folders import is_hidden
from convnext_edge.images.parquet import ParquetStorage

SUFFIX = ".parquet"
# A split, the number of the shard and how many there are; the hub puts a digest behind.
SHARD = re.compile(r"(?P<split>.+?)-(?P<number>\d{1,9})-of-(?P<count>\d{1,9})(-[0-9a-f]+)?\.parquet")
MOST_SHARDS = 10_000  # ImageNet has 294


class ShardStorage:
    """The rows of several Parquet files, in the order of the files."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._shards = [ParquetStorage(path) for path in paths]
        self.classes = self._shards[0].classes
        for shard, path in zip(self._shards, paths, strict=True):
            if shard.classes != self.classes:
                raise ImageSetError(
                    f"{path} names other classes than {paths[0].name}", hint="Give shards of one set."
                )
        labelled = [any(entry.label != UNLABELLED for entry in shard.entries) for shard in self._shards]
        if any(labelled) and not all(labelled):
            raise ImageSetError(
                f"{paths[labelled.index(False)]} has no labels, and {paths[labelled.index(True)].name} has",
                hint="Give shards of one set.",
            )
        names = [name for shard in self._shards for name in shard.names]
        unique = len(set(names)) == len(names)
        # a path that several shards have tells no image from another, and a number only within its shard
        self._place = {
            name if unique else f"{number:05d}/{name}": (shard, name)
            for number, shard in enumerate(self._shards)
            for name in shard.names
        }
        self.names = tuple(self._place)
        labels = [entry.label for shard in self._shards for entry in shard.entries]
        self.entries = tuple(Entry(name, label) for name, label in zip(self.names, labels, strict=True))

    def read(self, name: str) -> bytes:
        shard, inner = self._place[name]
        return shard.read(inner)


def find_shards(path: Path) -> tuple[Path, ...]:
    """Return the Parquet files of one split: of a folder that has no other, or of FOLDER/SPLIT.

    Nothing is returned for a path that is neither. Raises ImageSetError where a folder has several splits, or
    where a shard is missing.
    """
    if path.is_dir():
        splits = _splits(_tables(path))
        if len(splits) > 1:
            example = next(iter(splits))
            raise ImageSetError(
                f"{path} has Parquet files of {len(splits)} splits: {first_few(list(splits))}",
                hint=f"Name one of them behind the folder: {path / example}.",
            )
        return _complete(path, next(iter(splits.values()))) if splits else ()
    if path.parent.is_dir() and not path.exists():
        return _complete(path, _splits(_tables(path.parent)).get(path.name, ()))
    return ()


def _tables(folder: Path) -> list[Path]:
    """Return the Parquet files in a folder, or else those in its folders, as in a clone from the hub."""
    for pattern in (f"*{SUFFIX}", f"*/*{SUFFIX}"):
        found = [path for path in sorted(folder.glob(pattern)) if not is_hidden(path.name) and path.is_file()]
        if found:
            return found
    return []


def _splits(paths: list[Path]) -> dict[str, tuple[Path, ...]]:
    """Return the files by split; those that are not named as shards are one each."""
    splits: dict[str, tuple[Path, ...]] = {}
    for path in paths:
        match = SHARD.fullmatch(path.name)
        split = match["split"] if match else path.name.removesuffix(SUFFIX)
        splits[split] = (*splits.get(split, ()), path)
    return splits


def _complete(path: Path, shards: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the shards in their order; raise ImageSetError where one is missing, or there are too many."""
    found: dict[int, Path] = {}
    counts = set()
    for shard in shards:
        if match := SHARD.fullmatch(shard.name):
            counts.add(int(match["count"]))
            found[int(match["number"])] = shard
    if not counts:
        return shards
    if len(counts) > 1 or len(found) < len(shards) or max(counts) > MOST_SHARDS:
        raise ImageSetError(
            f"{path} has shards that do not belong together: {first_few([shard.name for shard in shards])}",
            hint=f"Leave those of one set, of at most {MOST_SHARDS:,}.",
        )
    missing = [number for number in range(*counts) if number not in found]
    if missing or len(found) != max(counts):
        raise ImageSetError(
            f"{path} lacks {len(missing)} of {max(counts)} shards, such as number {next(iter(missing), 0)}",
            hint="Download them all, or name a single file.",
        )
    return tuple(found[number] for number in sorted(found))
