"""ONNX files: read, written and checked."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import ModelProto

from convnext_edge.artifacts.metadata import SECTIONS, Metadata
from convnext_edge.errors import ExportError, TargetError

PROTOBUF_LIMIT = 2**31 - 2**26  # bytes of weights in one file, short of protobuf's 2 GiB


def load(path: Path, *, weights: bool = True) -> ModelProto:
    """Return the model in a file; raise TargetError for what is no ONNX file.

    weights: whether those in a companion file beside it are wanted too.
    """
    try:
        return onnx.load(str(path), load_external_data=weights)
    except Exception as error:  # protobuf's is of no public class
        raise TargetError(f"cannot read {path} as ONNX: {error}") from error


def save(model: ModelProto, path: Path) -> None:
    """Write and check a model, beside it its weights where they are too large for one file.

    Raises ExportError where the model is not valid ONNX.
    """
    large = weight_bytes(model) > PROTOBUF_LIMIT
    onnx.save(model, str(path), save_as_external_data=large, location=path.name + ".data" if large else None)
    try:
        onnx.checker.check_model(str(path), full_check=not large)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the exporter wrote an invalid graph: {error}") from error


def write_metadata(model: ModelProto, metadata: Metadata) -> None:
    """Let a model say what `metadata` has, and nothing else."""
    onnx.helper.set_model_props(model, {" ".join(path): value for path, value in metadata.items()})


def read_metadata(model: ModelProto) -> Metadata:
    """Return what a model says of itself in sections of ours."""
    found = {tuple(prop.key.split(" ", 1)): prop.value for prop in model.metadata_props}
    return {(path[0], path[1]): value for path, value in found.items() if path[0] in SECTIONS}


def weight_bytes(model: ModelProto) -> int:
    """Return the size of all constants of the graph."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)
