"""What all results have in common."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

GATE_NOT_MET = 3


@dataclass(frozen=True)
class Result:
    """What a command returns: the object that `--json` prints."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `json.dumps`; paths become strings."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    @property
    def exit_code(self) -> int:
        """Return the exit code of a command with this result: 0, or 3 where a gate was not met."""
        return GATE_NOT_MET if getattr(self, "passed", True) is False else 0

    def next_command(self) -> str:
        """Return the command that most people run next, with the names of files in it; empty for none."""
        return ""

    def summary(self) -> str:
        """Return a short text for a terminal of 80 columns."""
        return "\n".join(f"{key}: {value}" for key, value in self.to_json().items())


def _plain(value: object) -> object:
    match value:
        case Path():
            return str(value)
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return value
