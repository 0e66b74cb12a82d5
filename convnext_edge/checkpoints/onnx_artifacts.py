"""Our own ONNX files as checkpoints, whose sidecars name their weights; and what is said of any ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.store import find_link
from convnext_edge.checkpoints.config_traits import Traits
from convnext_edge.checkpoints.loading import Checkpoint, load_graph, load_weights
from convnext_edge.checkpoints.onnx_weights.reading import check_asked, is_onnx
from convnext_edge.checkpoints.preparation.found import Preparation
from convnext_edge.errors import ArtifactError, CheckpointError
from convnext_edge.images.changes import PreprocessingChanges
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network.convnext import ConvNeXt
from convnext_edge.progress import note


def load_artifact(artifact: Artifact, asked: Traits) -> ConvNeXt:
    """Return the FP32 model of an ONNX file or an engine that we made.

    It has the weights that its sidecar names, where they lie beside it unchanged; else it is read from the
    graph, where the file is ONNX in float. Which of the two it is, is said. asked: what the user says, which
    must not contradict it. Raises ArtifactError or CheckpointError.
    """
    path, described = artifact.path, artifact.description
    if described.weights is None:
        raise ArtifactError(f"the sidecar of {path} names no weights", hint="Make it again: export.")
    try:
        weights = find_link(described.weights, (path.parent,), wanted_by=path)
    except ArtifactError as missing:
        if not is_onnx(path) or described.precision != "fp32":
            raise
        note(f"{missing.message}: reading the graph instead")
        loaded = load_graph(path, asked, described.preprocessing)
        tell_graph(loaded, path.name)
        return loaded.model
    check_asked(described.architecture, asked, path)
    note(f"{path.name}: taking the weights that it was made from, {weights.path.name}")
    return load_weights(weights.path, described.architecture)


def tell_graph(loaded: Checkpoint, name: str) -> None:
    """Say what an ONNX graph showed, how that was proven, and what is not as it was before the export."""
    graph, shown = loaded.graph, loaded.architecture
    if graph is None:
        return
    note(
        f"{name}: its graph shows the weights, activation {shown.activation}, epsilon {shown.eps:g} and"
        f" {shown.pooling} pooling; run on noise, it differs from what was read by {graph.proof:.1e} of an"
        " output's deviation"
    )
    if graph.folded:
        note(
            f"{name}: its graph holds {' and '.join(graph.folded)} in the weights of other layers, and so"
            " does what was read: the same function in other weights"
        )


def shown_preparation(found: Preparation, loaded: Checkpoint) -> Preparation:
    """Return a preparation with what an ONNX file tells: all of it, or size, mean and deviation.

    Raises CheckpointError where its metadata and its graph tell two of the last.
    """
    graph = loaded.graph
    if graph is None:
        return found
    if graph.preprocessing is not None:
        return _of_metadata(graph.preprocessing, graph.changes, loaded.architecture.channels)
    made = graph.changes.apply(found.preprocessing, loaded.architecture.channels)
    by = found.by if graph.changes.mean is None else f"its graph normalizes pixels, and else as {found.by}"
    return replace(found, preprocessing=made, by=by)


def _of_metadata(told: Preprocessing, shown: PreprocessingChanges, channels: int) -> Preparation:
    """Return what the metadata of a file tells, at the size of its graph. shown: what the graph shows."""
    told_values = [*told.mean, *told.std]
    values = told_values if shown.mean is None or shown.std is None else [*shown.mean, *shown.std]
    if len(told.mean) != channels or not np.allclose(values, told_values, rtol=1e-3, atol=1e-4):
        graph = (
            f"{channels} channels, mean and std {_listed(values)}" if shown.mean else f"{channels} channels"
        )
        raise CheckpointError(
            f"the graph of the file and its metadata tell two preparations of images: {graph}; and"
            f" {len(told.mean)} channels, mean and std {_listed(told_values)}",
            hint="The graph was changed after the export: give the weights, or take its metadata out.",
        )
    if shown.resolution in (None, told.size):
        return Preparation(told, "its metadata says")
    sized = PreprocessingChanges(shown.resolution).apply(told, channels)
    return Preparation(sized, "its metadata says, at the size of its graph")


def _listed(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)
