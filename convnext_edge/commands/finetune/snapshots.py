"""Snapshots, from which a run continues after it was killed: one file, complete or absent at any moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from convnext_edge.artifacts.files import write_bytes
from convnext_edge.errors import ArtifactError, UsageError
from convnext_edge.progress import note
from convnext_edge.reading import Count, Shape, check

Figure = Annotated[float, Field(ge=-1000, le=1000)]
AGAIN = "Start without --resume."
FORMAT = 3  # in the settings of a run: states of another format would be taken apart wrongly


class SnapshotShape(Shape, extra="forbid"):
    """What a snapshot's file holds; the states are the affair of PyTorch."""

    step: Count
    settings: dict[str, Any]
    start: dict[str, Figure | None]  # shares, and decibels
    student: dict[str, Any]
    optimizer: dict[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """The state of a run: all that it needs to continue."""

    step: int  # number of the next step
    settings: dict[str, Any]  # all that decides the result; a run continues only with the same settings
    start: dict[str, Any]  # figures measured before the first step
    student: dict[str, Any]  # its state dict
    optimizer: dict[str, Any]  # its state dict


@contextmanager
def told_when_stopped(steps: int, every: int, *, resume: bool) -> Iterator[list[int]]:
    """Say where a run that is stopped inside can be gone on with; yield a list for the steps that are saved.

    steps: of the whole run. every: how many lie between two that are saved. resume: whether it goes on from
    an earlier run.
    """
    saved: list[int] = []
    try:
        yield saved
    except KeyboardInterrupt:
        if saved:
            note(f"saved at step {saved[-1]} of {steps}: the same command with --resume goes on from there")
        elif resume:
            note("nothing new was saved: the same command begins again where this one did")
        else:
            note(f"nothing was saved yet to --resume from; the first time is after {min(every, steps)} steps")
        raise


def save(snapshot: Snapshot, path: Path) -> None:
    """Write a snapshot; raise ArtifactError where it cannot be written."""
    # written to memory first: on a full disk, PyTorch's own writer aborts the process
    buffer = BytesIO()
    torch.save(vars(snapshot), buffer)
    write_bytes(path, buffer.getbuffer())


def load(path: Path, settings: dict[str, Any]) -> Snapshot | None:
    """Return the snapshot that was saved; None where there is none, as before a run's first snapshot.

    Raises UsageError where it was made with other settings, ArtifactError where it cannot be read.
    """
    if not path.is_file():
        note(f"there is no {path} to resume from: starting at the first step")
        return None
    try:
        found = torch.load(path, weights_only=True)
        check(found, SnapshotShape)
        snapshot = Snapshot(**found)
    except Exception as error:  # for a damaged file, torch.load raises nearly any type
        raise ArtifactError(f"{path} cannot be read: {error}", hint=AGAIN) from error
    changed = [key for key, value in settings.items() if snapshot.settings.get(key) != value]
    if changed:
        key = changed[0]
        raise UsageError(
            f"{path} was made with another {key}: {snapshot.settings.get(key)!r}, now {settings[key]!r}",
            hint="Resume with the options of that run, or start without --resume.",
        )
    note(f"continuing at step {snapshot.step}")
    return snapshot
