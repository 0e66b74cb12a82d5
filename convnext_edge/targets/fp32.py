"""The FP32 ONNX file of a model, in the form that suits a target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from convnext_edge.artifacts.artifact import Artifact, Form
from convnext_edge.artifacts.metadata import metadata
from convnext_edge.artifacts.opsets import LOWEST
from convnext_edge.artifacts.replaced import announce_replacement
from convnext_edge.artifacts.store import write_artifact
from convnext_edge.artifacts.workspace import Workspace, file_name
from convnext_edge.checkpoints.source import Source
from convnext_edge.errors import ExportError
from convnext_edge.images.preprocessing import InputType
from convnext_edge.network.lowering import lower
from convnext_edge.onnx_graph.tracing import Graph, example_input, write_onnx
from convnext_edge.progress import doing
from convnext_edge.targets.registry import find_target
from convnext_edge.tasks import Task

FIXED_SIZE: dict[Task, str] = {
    "segment": "pools parts of the image",
    "detect": "has anchors all over the image",
}


@dataclass(frozen=True)
class ExportOptions:
    """How a model is written, where that does not follow from the model."""

    target: str | None  # the form is that of this target; None for the model as PyTorch has it
    input_type: InputType
    opset: int | None  # of ONNX's operators; None for the usual one
    dynamic_size: bool = False  # whether images may have any height and width

    @property
    def form(self) -> Form:
        """Return the form in which the model is lowered."""
        return find_target(self.target).form if self.target else "plain"


def check_options(source: Source, options: ExportOptions) -> None:
    """Raise ExportError or TargetError for what this task or this target does not have."""
    if options.dynamic_size and source.task in FIXED_SIZE:
        raise ExportError(
            f"--dynamic-size: {source.stem} {FIXED_SIZE[source.task]}, whose sizes are in the graph",
            hint="Leave it out, and give --resolution; export for each size.",
        )
    if options.opset == LOWEST and source.task == "detect":
        raise ExportError(
            f"--opset {LOWEST} is too early for {source.stem}, a detector",
            hint=f"Take {LOWEST + 1} or later.",
        )
    if options.target:
        find_target(options.target).check_task(source.task)
    if options.dynamic_size and options.target:
        find_target(options.target).check_dynamic_size()


def write_fp32(
    source: Source,
    weights: Artifact,
    options: ExportOptions,
    *,
    place: Path | Workspace,
    check: Callable[[Artifact], object] = lambda made: None,
    start: Artifact | None = None,
) -> Artifact:
    """Write the FP32 ONNX file of a source, in the form that suits a target.

    weights: the artifact that holds the source's weights. place: the file to write, or the workspace where it
    gets a name. check: sees the file before it replaces an older one; what it raises leaves that one as it
    was. start: the artifact that says how the model is prepared, where that is another than the weights.
    Raises ExportError where the graph is not valid, TargetError for a dynamic size that the target lacks.
    """
    check_options(source, options)
    parent = (start or weights).link
    description = replace(
        source.describe(), kind="onnx", weights=weights.link, parent=parent, **vars(options)
    )
    module = lower(
        source.reference,
        options.form,
        preprocessing=source.preprocessing,
        input_type=options.input_type,
        dynamic_size=options.dynamic_size,
    )
    example = example_input(source.preprocessing.shape, options.input_type)
    path = place if isinstance(place, Path) else place.folder / file_name(description, ".onnx")
    if isinstance(place, Workspace):
        announce_replacement(path, description)
    asked = "" if options.opset is None else f" in opset {options.opset}"
    doing(f"exporting {source.stem} at {source.preprocessing.size_text}{asked}")

    def write(file: Path) -> None:
        graph = Graph(
            source.outputs,
            opset=options.opset,
            dynamic_size=options.dynamic_size,
            counts_boxes=source.task == "detect",
            metadata=metadata(description),
        )
        write_onnx(module, example, file, graph)
        check(Artifact(file, description, files={}))

    return write_artifact(path, description, write)
