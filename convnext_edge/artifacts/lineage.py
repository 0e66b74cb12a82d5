"""How an artifact was made: the commands from the checkpoint on, by the `parent` links of sidecars."""

from __future__ import annotations

from dataclasses import dataclass

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.sidecar import read_sidecar
from convnext_edge.errors import ArtifactError

LONGEST = 20  # links that are followed; what we make has two


@dataclass(frozen=True)
class Step:
    """A command, and the artifact that it made."""

    file: str
    command: str  # as the sidecar of the file has it


def steps_to(artifact: Artifact) -> list[Step]:
    """Return what made an artifact, the first command first.

    They begin in the middle where a parent is no longer beside the artifact, or is another file than it was.
    """
    found = [artifact]
    while len(found) < LONGEST and (known := _parent(found[-1])) is not None:
        found.append(known)
    # `export` writes weights and model at once, and keeps weights that an earlier one wrote
    if len(found) > 1 and found[-1].description.kind == "weights" and "export" in found[-2].command.split():
        found.pop()
    return [Step(one.path.name, one.command) for one in reversed(found)]


def _parent(artifact: Artifact) -> Artifact | None:
    link = artifact.description.parent
    if link is None:
        return None
    try:
        found = read_sidecar(artifact.path.parent / link.name)
    except ArtifactError:
        return None
    return found if found.sha256 == link.sha256 else None
