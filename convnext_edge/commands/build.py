"""build: an engine of a target, from an FP32 or INT8 ONNX file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from convnext_edge.artifacts.artifact import Artifact, Description
from convnext_edge.artifacts.store import open_artifact, write_artifact
from convnext_edge.artifacts.workspace import Workspace, check_suffix, file_name
from convnext_edge.checkpoints.source import find_weights, keep_weights, open_source
from convnext_edge.errors import ArtifactError
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.progress import note
from convnext_edge.results import Build
from convnext_edge.targets.base import BuildOptions, Target
from convnext_edge.targets.fp32 import write_fp32
from convnext_edge.targets.registry import DEFAULT, find_target


def build(
    model: AnyPath | None = None,
    *,
    target: str | None = None,
    precision: Literal["fp32", "fp16"] | None = None,
    max_batch: int | None = None,
    compute_capability: Sequence[str] = (),
    timing_cache: AnyPath | None = None,
    output: AnyPath | None = None,
    workspace: AnyPath | None = None,
) -> Build:
    """Compile an ONNX file for a target.

    model: an artifact of export or quantize, by default the newest that fits the target. target: by
    default the one the model was made for. An FP32 model is lowered afresh for the target. precision: of
    layers that are not INT8. max_batch, compute_capability, timing_cache: see `BuildOptions`; each target
    refuses what it has no use for.
    Raises ArtifactError, TargetError, UsageError.
    """
    model, timing_cache, output = as_path(model), as_path(timing_cache), as_path(output)
    started = time.perf_counter()
    place = Workspace.at(workspace)
    start = find_model(model, target, place)
    chosen = find_target(target or start.description.target or DEFAULT)
    options = BuildOptions(precision, max_batch, tuple(compute_capability), timing_cache)
    chosen.check(options)
    check_suffix(output, chosen.suffix)
    recorded = chosen.record(options)  # refuses here what cannot be built, before anything is written
    graph = fit(start, chosen, place)
    description = describe(graph, chosen, options, recorded)
    path = output or place.folder / file_name(description, chosen.suffix)
    note(f"building {path.name} from {graph.path.name} with {chosen.package} {chosen.version()}")
    keep_weights(start, path, place)
    engine = write_artifact(path, description, lambda file: chosen.build(graph.path, file, options))
    return Build(
        engine=engine.path,
        target=chosen.name,
        bytes=engine.bytes,
        runtime=chosen.package,
        runtime_version=chosen.version(),
        seconds=round(time.perf_counter() - started, 3),
        files=tuple(engine.files),
        notes=tuple((engine.description.engine or {}).get("notes", ())),
    )


def describe(graph: Artifact, target: Target, options: BuildOptions, recorded: dict[str, Any]) -> Description:
    """What the sidecar of the engine says."""
    described = graph.description
    return replace(
        described,
        kind="engine",
        target=target.name,
        precision=target.engine_precision(described.precision, options),
        engine=recorded,
        parent=graph.link,
    )


def find_model(model: Path | None, target: str | None, workspace: Workspace) -> Artifact:
    if model is not None:
        return open_artifact(model)
    start = workspace.newest(
        lambda found: found.kind == "onnx" and (target is None or found.target in (None, target)),
        what=f"model for {target}" if target else "model",
        command="convnext-edge export --variant NAME, then convnext-edge quantize --calib NAME"
        + (f" --target {target}" if target else ""),
    )
    note(f"taking {start.path}, the newest model of the workspace")
    return start


def fit(start: Artifact, target: Target, workspace: Workspace) -> Artifact:
    """The ONNX file to compile: as it is where it was made for the target or is quantized already."""
    described = start.description
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
        target=target.name,
        input_type=described.input_type,
        output=None,
        workspace=workspace,
    )
