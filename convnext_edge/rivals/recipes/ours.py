"""An engine of ours, in the session that the package opens for it."""

from __future__ import annotations

from pathlib import Path

from convnext_edge.rivals.rival import Call


def run(path: Path, threads: int) -> Call:
    """Open an engine by its sidecar."""
    from convnext_edge.artifacts.store import open_artifact
    from convnext_edge.evaluation.candidates import target_of
    from convnext_edge.targets.registry import find_target

    artifact = open_artifact(path)
    return find_target(target_of(artifact, None)).open_session(artifact, threads=threads).run
