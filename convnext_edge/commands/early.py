"""What a look at the disk tells: it is said before PyTorch is imported, which takes seconds."""

from __future__ import annotations

from pathlib import Path

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.store import check_there as check_artifact
from convnext_edge.artifacts.workspace import Workspace, check_suffix
from convnext_edge.checkpoints.folders import check_there
from convnext_edge.checkpoints.named import check_one
from convnext_edge.checkpoints.variants import find_variant
from convnext_edge.guest import ALONE
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.targets.registry import check_target, command_that_makes_one


def check_start(model: AnyPath | None, checkpoint: AnyPath | None, workspace: Workspace) -> None:
    """Raise ArtifactError or CheckpointError where the model to quantize is not there, UsageError of two."""
    check_one(model, checkpoint)
    if checkpoint is not None:
        check_there(Path(checkpoint))
    elif model is not None:
        check_artifact(Path(model))
    else:
        workspace.check_exported()


def check_names(
    variant: str | None, checkpoint: AnyPath | None, target: str | None, output: AnyPath | None
) -> None:
    """Raise UsageError for a wrong name of what `export` takes, CheckpointError for a missing checkpoint."""
    if variant is not None:
        find_variant(variant)
    if checkpoint is not None:
        check_there(Path(checkpoint))
    if target is not None:
        check_target(target)
    check_suffix(as_path(output), ".onnx")


def check_threads(threads: int | None) -> None:
    """Raise UsageError for more threads than CPUs."""
    with ALONE:
        from convnext_edge.evaluation.timing import check_threads as check

    check(threads)


def find_candidate(
    model: AnyPath | None, target: str | None, workspace: Workspace, *, engine: bool = False
) -> Artifact:
    """Return the model to compare or to time, as `evaluation.candidates` finds it."""
    with ALONE:
        from convnext_edge.evaluation.candidates import find_candidate as find

    return find(model, target, workspace, engine=engine)


def check_images(*sources: AnyPath | None, data_root: AnyPath | None) -> None:
    """Raise ImageSetError for a name or a path of images that is not there. None stands for no images."""
    with ALONE:
        from convnext_edge.images.opening import find_image_set

    for source in sources:
        if source is not None:
            find_image_set(source, data_root=data_root)


def look_first(
    model: AnyPath | None,
    checkpoint: AnyPath | None,
    images: tuple[AnyPath | None, ...],
    data_root: AnyPath | None,
    workspace: AnyPath | None,
) -> Workspace:
    """Return the workspace; raise what a look at the disk tells, before PyTorch is loaded."""
    space = Workspace.at(workspace)
    check_start(model, checkpoint, space)
    check_images(*images, data_root=data_root)
    return space


def find_model(model: AnyPath | None, target: str | None, workspace: Workspace) -> Artifact:
    """Return the artifact that is named, or the newest ONNX file of the workspace that fits the target.

    Raises ArtifactError where there is none, UsageError for an unknown target.
    """
    if target is not None:
        check_target(target)
    return workspace.choose(
        model,
        lambda found: found.kind == "onnx" and (target is None or found.target in (None, target)),
        what="model",
        command=command_that_makes_one(target),
        target=target,
    )
