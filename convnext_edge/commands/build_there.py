"""What `build --on` does: the script of `build --emit-script` runs there, and the engine comes home."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.files import temporary_folder, write_text
from convnext_edge.artifacts.replaced import announce_replacement
from convnext_edge.artifacts.store import write_artifact
from convnext_edge.artifacts.workspace import Workspace, check_suffix, file_name
from convnext_edge.checkpoints.kept_weights import keep_weights
from convnext_edge.commands.early import find_model
from convnext_edge.devices.address import Where
from convnext_edge.devices.trtexec import BuiltThere, build_there
from convnext_edge.errors import UsageError
from convnext_edge.onnx_graph.naming import INPUT
from convnext_edge.paths import AnyPath
from convnext_edge.progress import doing, note
from convnext_edge.targets.base import BuildOptions, Target
from convnext_edge.targets.building import describe_engine, fit_graph
from convnext_edge.targets.registry import find_target
from convnext_edge.targets.tensorrt.target import MAX_BATCH

UNKNOWN = "unknown"


def build_engine_there(
    where: Where,
    model: AnyPath | None,
    target: str,
    options: BuildOptions,
    output: Path | None,
    workspace: Workspace,
) -> tuple[Artifact, BuiltThere, Path]:
    """Build an engine on a device; return it, what came back, and the file with the log.

    Raises DeviceError, TargetError, and UsageError for a target whose engines are built here.
    """
    chosen = find_target(target)
    if chosen.name != "tensorrt":
        raise UsageError(
            f"build --on means nothing to target {chosen.name}, whose engines are built here",
            hint="Leave --on out, and add --for aarch64 for an ARM device.",
        )
    check_suffix(output, chosen.suffix)
    start = find_model(model, chosen.name, workspace)
    if start.description.task == "detect":
        raise UsageError(
            f"build --on brings one engine home, and a detector has two: {start.path.name}",
            hint="Copy the folder of build --target tensorrt --emit-script there, and run its script.",
        )
    graph = fit_graph(start, chosen, workspace)
    with temporary_folder() as scratch:
        folder = scratch / "script"
        folder.mkdir()
        chosen.write_script(graph, folder, options)
        doing(f"building an engine of {graph.path.name} on {where.url}")
        built = build_there(where, folder, graph.description.preprocessing.shape, INPUT)
    described = describe_engine(graph, chosen, options, recorded=record(chosen, options, built, where))
    path = output or workspace.folder / file_name(described, chosen.suffix)
    if output is None:
        announce_replacement(path, described)
    keep_weights(start, path, workspace)

    def write(file: Path) -> None:
        file.write_bytes(built.engine)

    engine = write_artifact(path, described, write)
    log = path.with_name(f"{path.name}.log")
    write_text(log, built.log)
    return engine, built, log


def record(target: Target, options: BuildOptions, built: BuiltThere, where: Where) -> dict[str, Any]:
    """Return what the sidecar says of how the engine was built; a note says what the log does not tell."""
    told = {"TensorRT's version": built.version, "the compute capability": built.compute_capability}
    for what, value in told.items():
        if value is None:
            note(f"the log of trtexec does not tell {what}: the engine may be refused where it is to run")
    return {
        "runtime": target.package,
        "version": built.version or UNKNOWN,
        "compute_capabilities": [built.compute_capability] if built.compute_capability else [],
        "max_batch": options.max_batch or MAX_BATCH,
        "float_precision": options.precision,
        "built_on": where.url,
        "gpu": built.gpu or UNKNOWN,
    }
