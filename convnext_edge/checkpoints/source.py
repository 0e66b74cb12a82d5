"""The sources of a model: a named variant, a checkpoint, random weights, or the workspace."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from convnext_edge.artifacts.artifact import Artifact, Description
from convnext_edge.artifacts.names import MAX_STEM_BYTES, check_new
from convnext_edge.artifacts.sidecar import sidecar_path
from convnext_edge.artifacts.store import digest_of, find_link, open_artifact, unmistakable, write_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.checkpoints.variants import Variant, find_variant, match
from convnext_edge.errors import ArtifactError, CheckpointError, ExportError, UsageError
from convnext_edge.images.definitions import calibration_dir
from convnext_edge.images.preprocessing import Preprocessing, PreprocessingChanges
from convnext_edge.network.architecture import Architecture
from convnext_edge.network.convnext import Block, ConvNeXt, random_model
from convnext_edge.progress import note

RENAME = "Files of the workspace begin with this name: rename the checkpoint, or make a link to it."
DEMO_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Source:
    """The FP32 reference model, with what is known about it."""

    reference: ConvNeXt
    stem: str  # first part of the names of the files that are made from it
    variant: str | None  # None for an architecture that is none of the published ones
    preprocessing: Preprocessing
    classes: tuple[str, ...] = ()  # names in the order of the labels; empty where unknown
    layout: str | None = None  # of the checkpoint; None where no library wrote it
    usual_resolution: int | None = None  # the variant's own; None where the model is no named variant

    def describe(self) -> Description:
        """Return the description of the weights in our own layout, for their sidecar."""
        return Description(
            kind="weights",
            stem=self.stem,
            variant=self.variant,
            architecture=asdict(self.reference.architecture),
            preprocessing=self.preprocessing,
            classes=self.classes,
            layout=self.layout,
            usual_resolution=self.usual_resolution,
        )


def load_source(
    variant: str | None = None,
    checkpoint: Path | None = None,
    *,
    random_weights: bool = False,
    changes: PreprocessingChanges = PreprocessingChanges(),  # noqa: B008  frozen
    seed: int = 0,
) -> Source:
    """Load the model that the options name.

    seed: of random weights. Raises UsageError where the options name no model or contradict each other,
    CheckpointError for a checkpoint of another variant, ExportError for a resolution that does not divide.
    """
    if checkpoint is not None and random_weights:
        raise UsageError("--checkpoint and --random-weights exclude each other", hint="Give one of the two.")
    if checkpoint is not None:
        source = _from_checkpoint(checkpoint, variant)
    elif variant is None:
        raise UsageError("no model is named", hint="Give --variant NAME or --checkpoint FILE.")
    elif random_weights:
        source = _random(find_variant(variant), seed)
    else:
        source = _published(find_variant(variant))
    preprocessing = changes.apply(source.preprocessing)
    _check_resolution(preprocessing.resolution, source.reference.architecture.stride)
    without_sidecar = checkpoint is not None and not sidecar_path(checkpoint).is_file()
    if checkpoint is not None and without_sidecar and source.variant is None and changes.mean is None:
        note(
            f"{checkpoint.name} does not say how images are prepared: taking ImageNet's values, which"
            " --resolution, --crop, --mean and --std change"
        )
    usual = source.usual_resolution
    if usual is None and source.variant is not None:
        usual = source.preprocessing.resolution
    return replace(source, preprocessing=preprocessing, usual_resolution=usual)


def _from_checkpoint(path: Path, name: str | None) -> Source:
    check_new(path.stem, CheckpointError, hint=RENAME, most=MAX_STEM_BYTES)
    loaded = load_checkpoint(path)
    reference = loaded.model
    if name is not None:
        _check_variant(path, reference, find_variant(name))
    if sidecar_path(path).is_file():  # `export` kept these weights, with their description
        return _described(reference, open_artifact(path).description)
    found = name or match(reference.architecture)
    if found is None:
        return Source(reference, path.stem, None, Preprocessing(), layout=loaded.layout)
    known = find_variant(found)
    return Source(reference, path.stem, known.name, known.preprocessing, layout=loaded.layout)


def _check_variant(path: Path, reference: ConvNeXt, variant: Variant) -> None:
    expected = replace(variant.architecture, classes=reference.architecture.classes)
    found = replace(reference.architecture, layer_scale=expected.layer_scale)
    if found != expected:
        raise CheckpointError(
            f"{path} is not a {variant.name}: it has {_shape(found)}; {variant.name} has {_shape(expected)}",
            hint="Leave --variant out: the checkpoint itself shows its architecture.",
        )


def _shape(architecture: Architecture) -> str:
    return (
        f"depths {architecture.depths}, dims {architecture.dims}, patch {architecture.patch},"
        f" generation {architecture.generation}"
    )


def _random(variant: Variant, seed: int) -> Source:
    reference = random_model(variant.architecture, seed)
    for block in reference.modules():
        if isinstance(block, Block) and block.gamma is not None:
            torch.nn.init.constant_(block.gamma, 0.1)  # 1e-6 would hide what the blocks compute
    note(f"{variant.name} gets random weights: good for latency, never for accuracy")
    return Source(reference, f"{variant.name}-random", variant.name, variant.preprocessing)


def _published(variant: Variant) -> Source:
    if variant.name == "demo":
        weights = calibration_dir() / "demo" / "demo.safetensors"
        return Source(load_checkpoint(weights).model, "demo", "demo", variant.preprocessing, DEMO_CLASSES)
    from convnext_edge.checkpoints.hub import fetch

    fetched = fetch(variant)
    loaded = load_checkpoint(fetched.path)
    return Source(loaded.model, variant.name, variant.name, fetched.preprocessing, layout=loaded.layout)


def _check_resolution(resolution: int, stride: int) -> None:
    if resolution <= 0 or resolution % stride:
        below = max(resolution // stride, 1) * stride
        raise ExportError(
            f"resolution {resolution} is not a multiple of {stride}, the stride of this model",
            hint=f"Take {below} or {below + stride}.",
        )


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
    return _described(load_checkpoint(find_weights(artifact, workspace).path).model, artifact.description)


def _described(reference: ConvNeXt, description: Description) -> Source:
    return Source(
        reference=reference,
        stem=description.stem,
        variant=description.variant,
        preprocessing=description.preprocessing,
        classes=description.classes,
        layout=description.layout,
        usual_resolution=description.usual_resolution,
    )
