"""The FP32 ONNX file of a model, in the form that suits a target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.replaced import announce_replacement
from convnext_edge.artifacts.store import write_artifact
from convnext_edge.artifacts.workspace import Workspace, file_name
from convnext_edge.checkpoints.source import Source
from convnext_edge.images.preprocessing import InputType
from convnext_edge.network.lowering import Form, lower
from convnext_edge.onnx_graph.tracing import example_input, write_onnx
from convnext_edge.progress import note
from convnext_edge.targets.registry import find_target


def write_fp32(
    source: Source,
    weights: Artifact,
    *,
    target: str | None,
    input_type: InputType,
    place: Path | Workspace,
    check: Callable[[Artifact], object] = lambda made: None,
) -> Artifact:
    """Write the FP32 ONNX file of a source, in the form that suits a target.

    weights: the artifact that holds the source's weights. target: None for the model as PyTorch has it.
    place: the file to write, or the workspace where it gets a name. check: sees the file before it replaces
    an older one; what it raises leaves that one as it was.
    Raises ExportError where the graph is not valid.
    """
    form: Form = find_target(target).form if target else "plain"
    description = replace(
        source.describe(),
        kind="onnx",
        target=target,
        input_type=input_type,
        weights=weights.link,
        parent=weights.link,
    )
    module = lower(source.reference, form, preprocessing=source.preprocessing, input_type=input_type)
    example = example_input(source.preprocessing.shape, input_type)
    path = place if isinstance(place, Path) else place.folder / file_name(description, ".onnx")
    if isinstance(place, Workspace):
        announce_replacement(path, description)
    note(f"exporting {source.stem} at {source.preprocessing.size_text}")

    def write(file: Path) -> None:
        write_onnx(module, example, file, outputs=source.outputs)
        check(Artifact(file, description, files={}))

    return write_artifact(path, description, write)
