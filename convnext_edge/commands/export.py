"""export: a trained ConvNeXt as FP32 ONNX, and its weights into the workspace."""

from __future__ import annotations

import numpy as np
import torch

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.store import remove_artifact
from convnext_edge.artifacts.workspace import Workspace, check_suffix
from convnext_edge.checkpoints.source import Source, load_source, save_weights
from convnext_edge.errors import ExportError
from convnext_edge.images.preprocessing import InputType, PreprocessingChanges, Triple
from convnext_edge.images.transform import as_reference_takes
from convnext_edge.onnx_graph.tracing import example_input
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.results import Export
from convnext_edge.targets.fp32 import write_fp32
from convnext_edge.targets.registry import find_target

PARITY = 1e-3  # of the largest logit: what a right export stays under by far


def export(
    variant: str | None = None,
    *,
    checkpoint: AnyPath | None = None,
    random_weights: bool = False,
    resolution: int | None = None,
    crop: float | None = None,
    mean: Triple | None = None,
    std: Triple | None = None,
    target: str | None = None,
    input_type: InputType = "float32",
    output: AnyPath | None = None,
    workspace: AnyPath | None = None,
    seed: int = 0,
) -> Export:
    """Write a model as ONNX with a dynamic batch, checked against PyTorch.

    variant, checkpoint, random_weights: which model (a checkpoint's variant is a check). resolution:
    edge of the input in pixels, by default what the variant was evaluated at. crop, mean, std: as in
    `Preprocessing`, where a checkpoint needs other values than its variant's (or ImageNet's). target:
    lower for this runtime; by default the plain graph. input_type: `float32` normalized, or `uint8` raw RGB.
    Raises CheckpointError, DownloadError, ExportError, UsageError.
    """
    checkpoint, output = as_path(checkpoint), as_path(output)
    if target is not None:
        find_target(target)  # a wrong name is said before any work
    check_suffix(output, ".onnx")
    changes = PreprocessingChanges(resolution=resolution, crop=crop, mean=mean, std=std)
    source = load_source(variant, checkpoint, random_weights=random_weights, changes=changes, seed=seed)
    place = Workspace.at(workspace)
    weights = save_weights(source, place)
    artifact = write_fp32(
        source, weights, target=target, input_type=input_type, output=output, workspace=place
    )
    difference = parity(source, artifact)
    architecture = source.reference.architecture
    return Export(
        artifact=artifact.path,
        weights=weights.path,
        variant=source.variant,
        params=architecture.params,
        macs=architecture.macs(source.preprocessing.resolution),
        resolution=source.preprocessing.resolution,
        classes=architecture.classes,
        parity_max_abs_diff=difference,
    )


def parity(source: Source, artifact: Artifact) -> float:
    """Largest difference of a logit, ONNX Runtime against PyTorch on the same noise.

    Raises ExportError, and takes the file away, where they are not the same function.
    """
    preprocessing = source.preprocessing
    example = example_input(preprocessing.resolution, artifact.description.input_type, seed=1)
    images = example.numpy()
    normalized = as_reference_takes(images, preprocessing)
    with torch.inference_mode():
        expected = source.reference(torch.from_numpy(normalized)).numpy()
    with find_target("onnxruntime").open_session(artifact) as session:
        difference = float(np.abs(session.run(images) - expected).max())
    if not difference <= PARITY * max(1.0, float(np.abs(expected).max())):
        remove_artifact(artifact)
        raise ExportError(
            f"{artifact.path} differs from PyTorch by {difference:.3g} in a logit",
            hint="This is a fault of the exporter or the runtime; please report it with the versions.",
        )
    return difference
