"""From what the options of a command name to a source: a variant, a checkpoint, or random weights."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.names import MAX_STEM_BYTES, check_new
from convnext_edge.artifacts.sidecar import sidecar_path
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.checkpoints.config_traits import Traits
from convnext_edge.checkpoints.folders import Located, locate
from convnext_edge.checkpoints.loading import load_checkpoint, load_weights
from convnext_edge.checkpoints.onnx_artifacts import load_artifact, shown_preparation, tell_graph
from convnext_edge.checkpoints.places import Selection
from convnext_edge.checkpoints.preparation.found import about, find_preparation, of_detector
from convnext_edge.checkpoints.releases import fetch_release
from convnext_edge.checkpoints.sizes import visible
from convnext_edge.checkpoints.source import Source
from convnext_edge.checkpoints.telling import tell, tell_kept, tell_preparation
from convnext_edge.checkpoints.traits import changed, still_assumed, tell_assumed
from convnext_edge.checkpoints.variants import BUNDLED, Variant, find_variant, match
from convnext_edge.errors import CheckpointError, ExportError, UsageError
from convnext_edge.images.changes import PreprocessingChanges
from convnext_edge.images.definitions import calibration_dir
from convnext_edge.network.convnext import Block, ConvNeXt, random_model
from convnext_edge.network.foldings import turn_channels
from convnext_edge.progress import note, phase

RENAME = "Files of the workspace begin with this name: rename the checkpoint, or make a link to it."
OF_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PREPARES = {"segment": "mmsegmentation prepares them", "detect": "mmdetection prepares them"}  # by task
BUNDLED_CLASSES = {
    "demo": OF_CIFAR10,
    "demo_segment": ("background", *OF_CIFAR10),
    "demo_detect": ("background", *OF_CIFAR10),
}


@dataclass(frozen=True)
class Asked:
    """What a user says of a checkpoint."""

    traits: Traits = field(default_factory=Traits)  # what shows in none of its tensors
    selection: Selection = field(default_factory=Selection)  # which of its models


NOTHING_ASKED = Asked()


@phase("reading the weights")
def load_source(
    variant: str | None = None,
    checkpoint: Path | None = None,
    *,
    random_weights: bool = False,
    changes: PreprocessingChanges = PreprocessingChanges(),  # noqa: B008  frozen
    asked: Asked = NOTHING_ASKED,
    seed: int = 0,
) -> Source:
    """Load the model that the options name.

    asked: of a checkpoint. seed: of random weights. Raises UsageError where the options name no model or
    contradict each other, CheckpointError for a checkpoint of another variant, ExportError for a resolution
    that is too small.
    """
    if checkpoint is not None and random_weights:
        raise UsageError("--checkpoint and --random-weights exclude each other", hint="Give one of the two.")
    if checkpoint is None and asked.traits.told():
        raise UsageError(
            f"--{asked.traits.told()[0].replace('_', '-')} belongs to --checkpoint: of a variant it is known",
            hint="Leave it out; or export the variant, then the weights that are kept, with --checkpoint.",
        )
    if checkpoint is None and asked.selection.weights is not None:
        raise UsageError("--weights belongs to --checkpoint", hint="Leave it out.")
    located = None if checkpoint is None else locate(checkpoint)
    if located is not None:
        source = _from_checkpoint(located, variant, asked, changes)
    elif variant is None:
        raise UsageError("no model is named", hint="Give --variant NAME or --checkpoint FILE.")
    elif random_weights:
        source = _random(find_variant(variant), seed)
    else:
        source = _published(find_variant(variant))
    usual = source.usual_resolution
    if usual is None and source.variant is not None:
        usual = source.preprocessing.resolution
    return replace(_prepared(source, changes), usual_resolution=usual)


def _prepared(source: Source, changes: PreprocessingChanges) -> Source:
    """Return the source with its images prepared as the user says; of BGR, its stem is turned to RGB."""
    before, architecture = source.preprocessing, source.reference.architecture
    preprocessing = changes.apply(before, architecture.channels)
    for edge in preprocessing.size:
        _check_resolution(edge, architecture.stride)
    if preprocessing.channel_order != before.channel_order:
        turn_channels(source.reference)
    by = source.prepared_by
    if preprocessing != before:
        by = f"options say; the rest as {by}" if changes.left_open(preprocessing) else "options say"
    assumed = source.assumed
    if changes.tells_resizing and changes.tells_values:
        assumed = about(assumed, images=False)
    return replace(source, preprocessing=preprocessing, prepared_by=by, assumed=assumed)


def _from_checkpoint(
    located: Located, name: str | None, asked: Asked, changes: PreprocessingChanges
) -> Source:
    """Return the source of a checkpoint or of an artifact, before the changes.

    name: of the variant that it must be.
    """
    path = located.file
    check_new(located.name, CheckpointError, hint=RENAME, most=MAX_STEM_BYTES)
    if sidecar_path(path).is_file():
        return _from_artifact(located, name, asked)
    loaded = load_checkpoint(located, asked.traits, asked.selection)
    if name is not None:
        _check_variant(path, loaded.model, find_variant(name))
    tell(loaded, located)
    tell_graph(loaded, located.name)
    prepared = shown_preparation(find_preparation(located.folder, loaded), loaded)
    tell_preparation(prepared, located.name, changes)
    found = name or match(loaded.as_published)
    known = None if found is None else find_variant(found)
    return Source(
        loaded.model,
        located.name,
        None if known is None else known.name,
        prepared.preprocessing,
        loaded.classes.names,
        layout=loaded.layout,
        task=loaded.task,
        usual_resolution=None if known is None else known.resolution,
        assumed=(*loaded.assumed, *prepared.assumed),
        left_out=loaded.left_out,
        classes_from=loaded.classes.source,
        taken=loaded.taken,
        prepared_by=prepared.by,
    )


def _from_artifact(located: Located, name: str | None, asked: Asked) -> Source:
    """Return the source of a file that `export` wrote, as its sidecar describes it."""
    path = located.file
    artifact = open_artifact(path)
    kept = artifact.description
    if kept.kind == "weights":
        architecture = replace(kept.architecture, **changed(kept.architecture, asked.traits, path))
        reference = load_weights(path, architecture)
    else:
        reference = load_artifact(artifact, asked.traits)
    if name is not None:
        _check_variant(path, reference, find_variant(name))
    assumed = still_assumed(kept.assumed, asked.traits, kept.architecture)
    tell_assumed(about(assumed, images=False), located.name)
    tell_kept(about(assumed, images=True), located.name)
    return replace(Source.of(reference, kept), assumed=assumed)


def _check_variant(path: Path, reference: ConvNeXt, variant: Variant) -> None:
    expected = variant.architecture
    found = replace(visible(reference.architecture), layer_scale=expected.layer_scale)
    if found != visible(expected):
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
    return Source(
        reference,
        f"{variant.name}-random",
        variant.name,
        variant.preprocessing,
        task=variant.task,
        prepared_by=PREPARES.get(variant.task, "timm prepares them"),
    )


def _published(variant: Variant) -> Source:
    name = variant.name
    if name in BUNDLED:
        weights = calibration_dir() / name / f"{name}.safetensors"
        return Source(
            load_weights(weights, variant.architecture),
            name,
            name,
            variant.preprocessing,
            BUNDLED_CLASSES[name],
            task=variant.task,
            prepared_by="in its training",
        )
    if variant.task == "segment":
        located = locate(Path(f"hf:{variant.source}"))
        return _of_library(variant, located, "mmsegmentation's configuration says")
    if variant.task == "detect":
        return _of_release(variant, fetch_release(variant.source))
    from convnext_edge.checkpoints.hub import fetch

    fetched = fetch(variant)
    loaded = load_checkpoint(fetched.path)
    return Source(
        loaded.model,
        variant.name,
        variant.name,
        fetched.preprocessing,
        layout=loaded.layout,
        task=variant.task,
        prepared_by=f"{fetched.source} says (timm)",
    )


def _of_release(variant: Variant, file: Path) -> Source:
    """Return the source of a variant whose file the authors gave, in mmdetection's layout."""
    try:
        return _of_library(variant, locate(file), of_detector("mmdetection").by)
    except CheckpointError as error:
        raise CheckpointError(error.message, hint=f"Remove {file}, and it is downloaded again.") from error


def _of_library(variant: Variant, located: Located, prepared_by: str) -> Source:
    """Return the source of a variant whose weights are in the layout of transformers or mmdetection."""
    loaded = load_checkpoint(located)
    _check_variant(located.file, loaded.model, variant)
    tell(loaded, located)
    return Source(
        loaded.model,
        variant.name,
        variant.name,
        variant.preprocessing,
        loaded.classes.names,
        layout=loaded.layout,
        task=loaded.task,
        left_out=loaded.left_out,
        classes_from=loaded.classes.source,
        assumed=loaded.assumed,
        prepared_by=prepared_by,
    )


def _check_resolution(resolution: int, stride: int) -> None:
    if resolution < stride:
        raise ExportError(
            f"resolution {resolution} is smaller than {stride}, the stride of this model",
            hint=f"Take {stride} or more.",
        )
    if resolution % stride:
        note(f"{resolution} pixels are no multiple of {stride}: what a stride does not divide is left out")
