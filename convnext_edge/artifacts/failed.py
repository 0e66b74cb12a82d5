"""What is said where a model is taken that did not pass when it was made."""

from __future__ import annotations

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.progress import note


def failings(artifact: Artifact) -> tuple[str, ...]:
    """Return, as sentences, that a model did not pass when it was made, and why; none where nothing did so.

    An engine says so of the model that it was built from.
    """
    verdict = artifact.description.verdict
    if verdict is None or verdict.passed:
        return ()
    whose = "the model of " if artifact.description.kind == "engine" else ""
    return (
        f"{whose}{artifact.path.name} did not pass when it was made: {'; '.join(verdict.unmet)}."
        " Quantize again with other images, recipe or target, or take the FP32 model",
    )


def announce_failings(artifact: Artifact) -> None:
    """Say loudly that a model did not pass when it was made, as far as it did not."""
    for sentence in failings(artifact):
        note(f"WARNING: {sentence}")
