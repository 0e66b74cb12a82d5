"""The `config.json` that transformers and timm write beside weights; it is read once.

Parts of it are checked by who takes them: see `traits`, `class_names` and `preparation`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convnext_edge.errors import CheckpointError
from convnext_edge.reading import DamagedError, Shape, check, read_json

CONFIG = "config.json"
REPAIR = "Repair it, or move it away."


class ObjectShape(Shape):
    """A JSON object with any values."""


@dataclass(frozen=True)
class Config:
    """A `config.json` and its values."""

    place: Path
    values: dict[str, Any]

    def check(self, shape: type[Shape]) -> None:
        """Raise CheckpointError where the values do not fit `shape`."""
        try:
            check(self.values, shape)
        except DamagedError as error:
            raise CheckpointError(f"{self.place} is damaged: {error}", hint=REPAIR) from error


def find_config(folder: Path) -> Config | None:
    """Return the config in a folder, None where there is none; raise CheckpointError for a damaged one."""
    place = folder / CONFIG
    if not place.is_file():
        return None
    return Config(place, read_json(place, ObjectShape, hint=REPAIR, kind=CheckpointError))
