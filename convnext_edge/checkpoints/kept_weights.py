"""The weights that `export` keeps in the workspace: written, found again, and opened as a reference."""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.store import digest_of, find_link, unmistakable, write_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.loading import load_weights
from convnext_edge.checkpoints.source import Source
from convnext_edge.errors import ArtifactError
from convnext_edge.progress import note


def save_weights(source: Source, workspace: Workspace) -> Artifact:
    """Keep the weights in the workspace, as `STEM.safetensors`, in our own layout.

    Raises UsageError where a file of that name is not ours, such as the user's own checkpoint.
    """
    tensors = {name: tensor.contiguous() for name, tensor in source.reference.state_dict().items()}
    path = workspace.folder / f"{source.stem}.safetensors"
    before = digest_of(path)
    written = write_artifact(path, source.describe(), lambda file: _save(tensors, file))
    if before not in (None, written.sha256):
        note(f"{path} held other weights: models made from those can no longer be compared with FP32")
    return written


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(tensors, path)
    except SafetensorError as error:  # it takes these tensors, so that only a full disk is left as the cause
        raise OSError(str(error)) from error


def find_weights(artifact: Artifact, workspace: Workspace) -> Artifact:
    """Find the weights that an artifact was made from: itself, or a file beside it or in the workspace."""
    if artifact.description.kind == "weights":
        return artifact
    link = artifact.description.weights
    if link is None:  # every other kind that we write has one
        raise ArtifactError(f"the sidecar of {artifact.path} names no weights", hint="Make it again: export.")
    return find_link(link, (artifact.path.parent, workspace.folder), wanted_by=artifact.path)


def keep_weights(artifact: Artifact, path: Path, workspace: Workspace) -> None:
    """Copy the weights of a model into the workspace, where a file made of it at `path` will find them.

    Nothing is copied where the file finds them already, beside itself or in the workspace. Where other
    weights have the name there, the copy gets the one of `unmistakable`.
    """
    link = artifact.description.weights or artifact.link
    given = artifact.path.parent / link.name
    folders = {folder.resolve() for folder in (path.parent, workspace.folder)}
    if not given.is_file() or given.parent.resolve() in folders:
        return
    kept = workspace.folder / link.name
    if kept.exists() and digest_of(kept) != link.sha256:
        kept = kept.with_name(unmistakable(link))
    if not kept.exists():
        write_artifact(kept, find_weights(artifact, workspace).description, lambda file: _copy(given, file))


def _copy(source: Path, path: Path) -> None:
    shutil.copyfile(source, path)


def open_source(artifact: Artifact, workspace: Workspace) -> Source:
    """Open the FP32 reference of an artifact, with the artifact's own preprocessing."""
    described = artifact.description
    # its sidecar may tell of another export of the same tensors, with another activation
    weights = find_weights(artifact, workspace)
    return Source.of(load_weights(weights.path, described.architecture), described)
