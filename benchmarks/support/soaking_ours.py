"""How `soaking` opens sessions of ours."""

from __future__ import annotations

from pathlib import Path

from benchmarks.support.soaking import Open
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.evaluation.candidates import open_session


def opener(engine: Path) -> tuple[Open, tuple[int, int, int]]:
    """Return what opens a session with one thread, and the shape of an image."""
    artifact = open_artifact(engine)
    described = artifact.description
    return lambda: open_session(artifact, str(described.target), threads=1), described.preprocessing.shape
