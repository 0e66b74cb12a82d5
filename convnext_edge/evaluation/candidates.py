"""What `validate` and `benchmark` hold against the reference, and how it is run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.store import open_artifact, write_artifact
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.source import find_weights, open_source
from convnext_edge.errors import ArtifactError, UsageError
from convnext_edge.progress import note
from convnext_edge.targets.base import BuildOptions, Session
from convnext_edge.targets.fp32 import write_fp32
from convnext_edge.targets.registry import DEFAULT, find_target


def find_candidate(model: Path | None, target: str | None, workspace: Workspace) -> Artifact:
    """The named artifact, or the newest model or engine of the workspace that fits the target."""
    if model is not None:
        named = open_artifact(model)
        if named.description.kind == "weights" and target != "torch":
            raise ArtifactError(
                f"{model} holds weights alone, no model that a runtime takes",
                hint=f"Make one: convnext-edge export --checkpoint {model}",
            )
        return named
    newest = workspace.newest(
        lambda found: found.kind != "weights" and (target is None or found.target in (None, target)),
        what=f"model for {target}" if target else "model",
        command="convnext-edge export --variant NAME, then convnext-edge quantize --calib NAME"
        + (f" --target {target}" if target else ""),
    )
    note(f"taking {newest.path}, the newest model of the workspace")
    return newest


def target_of(artifact: Artifact, target: str | None) -> str:
    """The target to run on: the wanted one, or the artifact's own; an engine runs only on its own."""
    own = artifact.description.target
    if artifact.description.kind == "engine" and target not in (None, own):
        raise UsageError(
            f"{artifact.path} is an engine for {own}, it does not run on {target}",
            hint=f"Build one: convnext-edge build --target {target}",
        )
    return target or own or DEFAULT


def open_session(artifact: Artifact, target: str, threads: int | None = None) -> Session:
    return find_target(target).open_session(artifact, threads=threads)


@contextmanager
def open_rival(artifact: Artifact, target: str, workspace: Workspace) -> Iterator[Session | None]:
    """An FP16 engine of the same weights, where INT8 has to beat one on this target; else None."""
    chosen = find_target(target)
    if not chosen.rivals_fp16 or artifact.description.precision in ("fp32", "fp16"):
        yield None
        return
    built = artifact.description.engine or {}
    options = BuildOptions(precision="fp16", max_batch=built.get("max_batch"))
    with tempfile.TemporaryDirectory() as folder:
        graph = write_fp32(
            open_source(artifact, workspace),
            find_weights(artifact, workspace),
            target=target,
            input_type=artifact.description.input_type,
            output=Path(folder) / "fp32.onnx",
            workspace=workspace,
        )
        description = replace(
            graph.description,
            kind="engine",
            precision="fp16",
            engine=chosen.record(options),
            parent=graph.link,
        )
        note("building an FP16 engine to compare with")
        path = Path(folder) / f"fp16{chosen.suffix}"
        engine = write_artifact(path, description, lambda file: chosen.build(graph.path, file, options))
        with chosen.open_session(engine) as session:
            yield session
