"""The models that `validate` and `benchmark` compare with the reference, and how they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.errors import ArtifactError, UsageError
from convnext_edge.paths import AnyPath
from convnext_edge.progress import phase
from convnext_edge.targets.base import Session
from convnext_edge.targets.kernels import warn_of_kernels
from convnext_edge.targets.registry import DEFAULT, command_that_makes_one, find_target
from convnext_edge.targets.streams import Streams

if TYPE_CHECKING:
    from convnext_edge.checkpoints.source import Source

SMALL = 100e6  # multiplications and additions of an image; one of 224 x 224 pixels takes Atto 550e6


def find_candidate(
    model: AnyPath | None, target: str | None, workspace: Workspace, *, engine: bool = False
) -> Artifact:
    """Return the named artifact, or else the newest model or engine that fits the target.

    engine: a device takes nothing but engines. Raises ArtifactError where there is none, or for weights that
    only PyTorch runs.
    """
    kinds = ("engine",) if engine else ("onnx", "engine")
    found = workspace.choose(
        model,
        lambda found: found.kind in kinds and (target is None or found.target in (None, target)),
        what="engine" if engine else "model",
        command="convnext-edge build" if engine else command_that_makes_one(target),
        target=target,
    )
    if found.description.kind == "weights" and target != "torch":
        raise ArtifactError(
            f"{found.path} holds weights alone, not a model that a runtime takes",
            hint=f"Make one: convnext-edge export --checkpoint {found.path}",
        )
    if engine and found.description.kind != "engine":
        raise ArtifactError(
            f"{found.path} is no engine, and a device takes nothing else",
            hint=f"Make one: convnext-edge build {found.path} (--for aarch64 for an ARM device)",
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
    chosen = find_target(target)
    warn_of_kernels(artifact, chosen)
    return chosen.open_session(artifact, threads=threads)


@phase("loading the engine")
def open_streams(artifact: Artifact, target: str, streams: int | None, threads: int) -> Streams:
    """Make an artifact ready to run several calls at a time, on `threads` threads in all."""
    return find_target(target).open_streams(artifact, streams=streams, threads=threads)


@phase("loading the engine")
def open_beside(artifact: Artifact, target: str) -> Session:
    """Make an artifact ready to take turns with the reference, and with what decodes images."""
    chosen = find_target(target)
    warn_of_kernels(artifact, chosen)
    return chosen.open_beside(artifact)


def reference_threads(source: Source) -> int | None:
    """Return in how many threads PyTorch compares: one for a small model, else as it likes (None).

    On a busy machine, the threads of a call wait for each other longer than a small model computes.
    """
    macs = source.reference.architecture.macs(*source.preprocessing.size)
    return 1 if macs < SMALL else None
