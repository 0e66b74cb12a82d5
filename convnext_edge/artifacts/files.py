"""How files are written: complete or absent at any moment."""

from __future__ import annotations

import os
from pathlib import Path

from convnext_edge.artifacts.artifact import cannot_write


def write_text(path: Path, text: str) -> None:
    """Write a file that is complete or absent at any moment; raise ArtifactError where that fails."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
