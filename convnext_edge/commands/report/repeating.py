"""The commands that lead from the checkpoint to a row, as they are repeated in an empty folder."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from convnext_edge.artifacts.workspace import DEFAULT
from convnext_edge.commands.rows import Row
from convnext_edge.evaluation.records import Record

LEFT_OUT = ("--json", "-v", "--verbose")  # what changes no result
PLACE = "--workspace"
OUTPUT = ("-o", "--output")


def commands_of(row: Row, records: Sequence[Record]) -> list[str]:
    """Return what made the artifact of a row, validated and timed it, one command a line.

    The workspace of an empty folder takes the place of the one that was used; other paths are as they were
    given.
    """
    made = row.get("made") or []
    steps = [(step["command"], step["file"]) for step in made]
    steps += [(record["command"], "") for record in of_row(row, records)]
    known: list[str] = []  # files that are made by now
    told = []
    for command, file in steps:
        told.append(repeated(command, known, file))
        known += [file] if file else []
    return list(dict.fromkeys(told))


def are_complete(commands: Sequence[str]) -> bool:
    """Return whether commands begin with a checkpoint; they do not where a parent is gone or replaced."""
    first = commands[0].split() if commands else []
    return first[1:2] == ["export"] or any(word.startswith("--checkpoint") for word in first)


def of_row(row: Row, records: Sequence[Record]) -> Iterator[Record]:
    """Yield the results that a row was joined from."""
    for kind in ("validate", "benchmark"):
        found = [record for record in records if record["kind"] == kind and _is_of(record, row)]
        yield from found[-1:]


def _is_of(record: Record, row: Row) -> bool:
    result: dict[str, Any] = record["result"]
    there, here = (found.get("device") or {} for found in (result, row))
    same_images = record["kind"] != "validate" or _images(result) == _images(row)
    same_file = record["model"]["sha256"] == row["sha256"] and record["model"]["file"] == row["file"]
    same_place = (there.get("url"), there.get("runner")) == (here.get("url"), here.get("runner"))
    return same_file and same_place and same_images and result["target"] == row["target"]


def _images(found: Mapping[str, Any]) -> tuple[str, str]:
    """Return what two results on one image set share."""
    return found["data"], found.get("data_path") or ""


def repeated(command: str, known: Sequence[str], made: str = "") -> str:
    """Return a command for the workspace of an empty folder.

    known: names of files of ours that are there by then. made: name of the file that it makes.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    program = 3 if words[:2] == ["python", "-m"] else 1
    return shlex.join(["convnext-edge", *_moved(words[program:], known, made)])


def _moved(words: Sequence[str], known: Sequence[str], made: str) -> Iterator[str]:
    for option, word in zip(["", *words], words, strict=False):
        if word in LEFT_OUT or word == PLACE or word.startswith(f"{PLACE}=") or option == PLACE:
            continue
        name = PurePath(word).name
        yield f"{DEFAULT}/{name}" if name in ([made] if option in OUTPUT else known) else word
