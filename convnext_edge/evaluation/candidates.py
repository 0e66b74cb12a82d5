"""The models that `validate` and `benchmark` compare with the reference, and how they run."""

from __future__ import annotations

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.errors import ArtifactError, UsageError
from convnext_edge.paths import AnyPath
from convnext_edge.progress import phase
from convnext_edge.targets.base import Session
from convnext_edge.targets.registry import DEFAULT, command_that_makes_one, find_target


def find_candidate(model: AnyPath | None, target: str | None, workspace: Workspace) -> Artifact:
    """Return the named artifact, or else the newest model or engine that fits the target.

    Raises ArtifactError where there is none, or for weights that only PyTorch runs.
    """
    found = workspace.choose(
        model,
        lambda found: found.kind != "weights" and (target is None or found.target in (None, target)),
        what="model",
        command=command_that_makes_one(target),
        target=target,
    )
    if found.description.kind == "weights" and target != "torch":
        raise ArtifactError(
            f"{found.path} holds weights alone, not a model that a runtime takes",
            hint=f"Make one: convnext-edge export --checkpoint {found.path}",
        )
    return found


def target_of(artifact: Artifact, target: str | None) -> str:
    """Return the name of the target to run on: the wanted one, or the artifact's own.

    Raises UsageError for an engine of another target.
    """
    own = artifact.description.target
    if artifact.description.kind == "engine" and target not in (None, own):
        raise UsageError(
            f"{artifact.path} is an engine for {own}, it does not run on {target}",
            hint=f"Build one: convnext-edge build --target {target}",
        )
    return target or own or DEFAULT


@phase("loading the engine")
def open_session(artifact: Artifact, target: str, threads: int | None = None) -> Session:
    """Make an artifact ready to run on the target of that name."""
    return find_target(target).open_session(artifact, threads=threads)
