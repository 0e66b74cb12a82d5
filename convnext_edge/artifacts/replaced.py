"""What is said where a file takes the place of another one that was made differently."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from convnext_edge.artifacts.artifact import Description
from convnext_edge.artifacts.sidecar import read_sidecar, sidecar_path
from convnext_edge.errors import ArtifactError
from convnext_edge.progress import note


def announce_replacement(path: Path, description: Description) -> None:
    """Say that a file at `path` is replaced, where what it was made of or with differs from `description`.

    A model that is made again in the same way is replaced without a word.
    """
    if not (path.is_file() and sidecar_path(path).is_file()):
        return
    try:
        old = read_sidecar(path).description
    except ArtifactError:
        return  # nobody could have used it
    differs = [what for what, changed in differences(old, description).items() if changed]
    if differs:
        note(f"{path} is replaced: it had another {' and another '.join(differs)}; -o keeps both")


def differences(old: Description, new: Description) -> dict[str, bool]:
    """Return, by what it is called, whether each part of the descriptions differs that names do not tell."""
    was, now = old.preprocessing.size_text, new.preprocessing.size_text
    of_old_size = replace(
        new.preprocessing, resolution=old.preprocessing.resolution, width=old.preprocessing.width
    )
    return {
        "architecture": old.architecture != new.architecture,
        f"resolution ({was}, now {now})": was != now,
        "preparation of images": old.preprocessing != of_old_size,
        "recipe": old.recipe != new.recipe,
    }
