"""The FP32 model that quantizing starts from."""

from __future__ import annotations

from dataclasses import dataclass

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.kept_weights import find_weights, open_source, save_weights
from convnext_edge.checkpoints.load_source import Asked, load_source
from convnext_edge.checkpoints.named import check_one
from convnext_edge.checkpoints.places import Selection, Weights
from convnext_edge.checkpoints.source import Source
from convnext_edge.errors import QuantizationError, UsageError
from convnext_edge.paths import AnyPath, as_path


@dataclass(frozen=True)
class Start:
    """An FP32 model with its weights."""

    artifact: Artifact  # an exported model, or weights alone
    weights: Artifact
    source: Source  # the reference, with the artifact's preprocessing


def find_start(
    model: AnyPath | None,
    checkpoint: AnyPath | None,
    weights: Weights | None = None,
    *,
    workspace: Workspace,
    seed: int,
) -> Start:
    """Return the model that is named, or the one of a checkpoint, or the newest FP32 model of the workspace.

    weights: which ones of a checkpoint that has several. Raises UsageError where both are named,
    QuantizationError for a model that is quantized already.
    """
    check_one(model, checkpoint)
    if checkpoint is not None:
        source = load_source(None, as_path(checkpoint), asked=Asked(selection=Selection(weights)), seed=seed)
        kept = save_weights(source, workspace)
        return Start(kept, kept, source)
    if weights is not None:
        raise UsageError("--weights belongs to --checkpoint", hint="Leave it out.")
    artifact = workspace.choose_exported(model)
    check_unquantized(artifact)
    return Start(artifact, find_weights(artifact, workspace), open_source(artifact, workspace))


def check_unquantized(artifact: Artifact) -> None:
    """Raise QuantizationError for an engine, and for a model that is not FP32."""
    if artifact.description.kind == "engine" or artifact.description.precision != "fp32":
        raise QuantizationError(
            f"{artifact.path} is {artifact.description.precision} ({artifact.description.kind}) already",
            hint="Quantize the FP32 model that export wrote.",
        )
