"""From a model to an engine of a target: which graph is compiled, and what the sidecar says of the engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from convnext_edge.artifacts.artifact import Artifact, Description
from convnext_edge.artifacts.store import write_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.kept_weights import find_weights, open_source
from convnext_edge.cpu import Machine
from convnext_edge.errors import ArtifactError
from convnext_edge.progress import note, phase
from convnext_edge.targets.base import BuildOptions, Target
from convnext_edge.targets.fp32 import ExportOptions, write_fp32
from convnext_edge.targets.kernels import kernels_of
from convnext_edge.targets.registry import DEFAULT, find_target


def fit_graph(start: Artifact, target: Target, workspace: Workspace) -> Artifact:
    """Return the ONNX file to compile: `start` where it was made for the target or is quantized already.

    An FP32 model of another form, and weights, are lowered afresh. Raises ArtifactError for an engine.
    """
    described = start.description
    target.check_task(described.task)
    if described.dynamic_size:
        target.check_dynamic_size()
    if described.kind == "engine":
        raise ArtifactError(
            f"{start.path} is an engine already", hint="Build from the ONNX file that it came from."
        )
    if described.kind == "onnx" and described.target == target.name:
        return start
    if described.kind == "onnx" and described.precision != "fp32":
        made_for = find_target(described.target or DEFAULT)
        if (made_for.form, made_for.recipe) != (target.form, target.recipe):
            note(f"{start.path.name} was quantized for {made_for.name}: it may be slower on {target.name}")
        return start
    return write_fp32(
        open_source(start, workspace),
        find_weights(start, workspace),
        ExportOptions(target.name, described.input_type, described.opset, described.dynamic_size),
        place=workspace,
        start=start,
    )


def describe_engine(
    graph: Artifact,
    target: Target,
    options: BuildOptions,
    machine: Machine | None = None,
    recorded: dict[str, Any] | None = None,
) -> Description:
    """Return what the sidecar of an engine of that graph says.

    machine: that it is to run on; None for the one of the graph, or else for this one. recorded: how it was
    built, where that was on another machine.
    """
    described = graph.description
    kernels = kernels_of(described, target, machine)
    return replace(
        described,
        kind="engine",
        target=target.name,
        precision=kernels.precision(target.engine_precision(described.precision, options)),
        machine=kernels.machine if target.differs_by_machine else None,
        engine=recorded or target.record(options),
        parent=graph.link,
    )


@phase("compiling the engine")
def write_engine(
    graph: Artifact, target: Target, description: Description, options: BuildOptions, path: Path
) -> Artifact:
    """Compile the graph for the target and write the engine with its companions and sidecar.

    description: as of `describe_engine`.
    """
    return write_artifact(path, description, lambda file: target.build(graph.path, file, options))
