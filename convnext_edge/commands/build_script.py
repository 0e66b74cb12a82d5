"""The option `--emit-script` of `build`: a folder that builds the engine where only the vendor's tool is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from convnext_edge.artifacts.failed import failings
from convnext_edge.artifacts.store import write_folder
from convnext_edge.artifacts.workspace import Workspace, file_name
from convnext_edge.commands.declaration import Option, public
from convnext_edge.commands.early import find_model
from convnext_edge.commands.options import Model, Output, RunOn, WorkspaceFolder
from convnext_edge.commands.result import Result
from convnext_edge.commands.text import lines, warned
from convnext_edge.paths import as_path
from convnext_edge.quiet import importing
from convnext_edge.targets.registry import find_target

FloatPrecision: TypeAlias = Annotated[
    Literal["fp32", "fp16"] | None,
    Option("TensorRT: precision of layers that are not INT8.  [default: fp16 beside INT8, else fp32]"),
]
MaxBatch: TypeAlias = Annotated[
    int | None, Option("TensorRT: most images in a call.  [default: 8]", at_least=1)
]


@dataclass(frozen=True)
class BuildScript(Result):
    """A folder that builds an engine on another machine."""

    directory: Path
    files: tuple[str, ...]
    build_command: str  # to run there, in the folder
    warnings: tuple[str, ...] = ()  # that the model did not pass, and why, as sentences

    def summary(self) -> str:
        """Return what was written, and what to run where."""
        return lines(
            ("wrote", self.directory),
            ("files", " ".join(self.files)),
            ("run there", self.build_command),
            *warned(self.warnings),
        )


@public
def build_script(
    model: Model = None,
    *,
    target: RunOn = None,
    precision: FloatPrecision = None,
    max_batch: MaxBatch = None,
    output: Output = None,
    workspace: WorkspaceFolder = None,
) -> BuildScript:
    """Write a folder with the ONNX file, the command that compiles it, and checksums of both.

    Options are those of `build`. target: `tensorrt` by default. output: the folder, which may not exist yet
    or be empty; it comes whole or not at all.
    Raises ArtifactError, TargetError, UsageError.
    """
    space = Workspace.at(workspace)
    start = find_model(model, target or "tensorrt", space)
    with importing():
        from convnext_edge.targets.base import BuildOptions
        from convnext_edge.targets.building import fit_graph

    chosen = find_target(target or "tensorrt")
    options = BuildOptions(precision, max_batch)
    graph = fit_graph(start, chosen, space)
    described = graph.description
    description = replace(
        described, target=chosen.name, precision=chosen.engine_precision(described.precision, options)
    )
    folder = as_path(output) or space.folder / file_name(description, "-script")
    command = write_folder(folder, lambda made: chosen.write_script(graph, made, options))
    files = tuple(sorted(file.name for file in folder.iterdir()))
    return BuildScript(directory=folder, files=files, build_command=command, warnings=failings(graph))
