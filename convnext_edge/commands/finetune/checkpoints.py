"""What a run needs to go on after it was killed: one file, complete or absent at any moment."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from convnext_edge.artifacts.files import write_bytes
from convnext_edge.errors import ArtifactError, UsageError
from convnext_edge.progress import note


@dataclass(frozen=True)
class Progress:
    """Where a run stands. step: the next one. start: figures measured before the first.

    settings: all that decides the result; a run goes on only under the same.
    """

    step: int
    settings: dict[str, Any]
    start: dict[str, Any]
    student: dict[str, Any]
    optimizer: dict[str, Any]


def save(progress: Progress, path: Path) -> None:
    """Raises ArtifactError where it cannot be written."""
    # by way of memory: on a full disk, PyTorch's own writer aborts the process
    buffer = BytesIO()
    torch.save(vars(progress), buffer)
    write_bytes(path, buffer.getbuffer())


def load(path: Path, settings: dict[str, Any]) -> Progress | None:
    """What was saved; None where there is nothing, as after a kill before the first checkpoint.

    Raises UsageError where it was made with other settings, ArtifactError where it cannot be read.
    """
    if not path.is_file():
        note(f"there is no {path} to resume from: starting at the first step")
        return None
    try:
        progress = Progress(**torch.load(path, weights_only=True))
    except Exception as error:  # of a damaged file, torch.load raises nearly any type
        raise ArtifactError(f"{path} cannot be read: {error}", hint="Start without --resume.") from error
    changed = [key for key, value in settings.items() if progress.settings.get(key) != value]
    if changed:
        key = changed[0]
        raise UsageError(
            f"{path} was made with another {key}: {progress.settings.get(key)!r}, now {settings[key]!r}",
            hint="Resume with the options of that run, or start without --resume.",
        )
    note(f"going on at step {progress.step}")
    return progress
