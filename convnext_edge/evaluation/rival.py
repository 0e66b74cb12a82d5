"""The FP16 engine that an INT8 one has to beat, where a target has fast FP16."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.files import temporary_folder
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.kept_weights import find_weights, open_source
from convnext_edge.progress import note
from convnext_edge.targets.base import BuildOptions, Session
from convnext_edge.targets.building import describe_engine, write_engine
from convnext_edge.targets.fp32 import ExportOptions, write_fp32
from convnext_edge.targets.registry import find_target


@contextmanager
def open_rival(artifact: Artifact, target: str, workspace: Workspace) -> Iterator[Session | None]:
    """Open an FP16 engine of the same weights, where INT8 on this target has to be faster than FP16.

    On other targets, and for artifacts in FP32 or FP16, it yields None.
    """
    chosen = find_target(target)
    if not chosen.rivals_fp16 or artifact.description.precision in ("fp32", "fp16"):
        yield None
        return
    built = artifact.description.engine or {}
    options = BuildOptions(precision="fp16", max_batch=built.get("max_batch"))
    with temporary_folder() as folder:
        graph = write_fp32(
            open_source(artifact, workspace),
            find_weights(artifact, workspace),
            ExportOptions(target, artifact.description.input_type, artifact.description.opset),
            place=folder / "fp32.onnx",
        )
        note("building an FP16 engine to compare with")
        described = describe_engine(graph, chosen, options)
        engine = write_engine(graph, chosen, described, options, folder / f"fp16{chosen.suffix}")
        with chosen.open_session(engine) as session:
            yield session
