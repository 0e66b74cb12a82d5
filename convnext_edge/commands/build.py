"""The command `build`: an engine of a target, from an FP32 or INT8 ONNX file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, overload

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.failed import failings
from convnext_edge.artifacts.replaced import announce_replacement
from convnext_edge.artifacts.workspace import Workspace, check_suffix, file_name
from convnext_edge.commands.build_script import BuildScript, FloatPrecision, MaxBatch, build_script
from convnext_edge.commands.declaration import Option, command
from convnext_edge.commands.early import find_model
from convnext_edge.commands.options import ForMachine, Model, OnDevice, Output, RunOn, WorkspaceFolder
from convnext_edge.commands.result import Result
from convnext_edge.commands.text import command_line, fold, lines, size, warned
from convnext_edge.cpu import Machine
from convnext_edge.devices.address import Where, parse_address
from convnext_edge.errors import UsageError
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.progress import doing
from convnext_edge.quiet import importing
from convnext_edge.targets.registry import DEFAULT, find_target

if TYPE_CHECKING:
    from convnext_edge.targets.base import BuildOptions

Capabilities: TypeAlias = Annotated[
    Sequence[str],
    Option(
        "TensorRT-RTX: compute capability of the GPUs to build for; repeatable.  [default: 8.0 and later]",
        metavar="X.Y",
    ),
]
TimingCache: TypeAlias = Annotated[AnyPath | None, Option("TensorRT: file that makes the next build faster.")]


@dataclass(frozen=True)
class Build(Result):
    """An engine that was built."""

    engine: Path
    target: str
    bytes: int  # of all files
    runtime: str
    runtime_version: str
    seconds: float
    files: tuple[str, ...] = ()  # the engine's name and those of its companions
    notes: tuple[str, ...] = ()  # what the target has to say of it, such as what is unverified
    warnings: tuple[str, ...] = ()  # that its model did not pass, and why, as sentences
    fp32_bytes: int | None = None  # of the weights in FP32; None of an engine in FP32
    machine: Machine | None = None  # that the engine is for; None for one whose kernels we do not know
    int8_kernels: bool | None = None  # whether layers are multiplied in INT8 there; None: not known
    advice: str | None = None  # what to do where a quantized model is multiplied in float
    on: str | None = None  # the device that built it
    log: Path | None = None  # of the build there
    latency_ms: dict[str, float] | None = None  # of one image there, by the vendor's tool: p50, p90, p99, min

    def summary(self) -> str:
        """Return where the engine is, and what the target says of it."""
        written = lines(
            ("wrote", self.engine),
            *(("beside it", name) for name in self.files if name != self.engine.name),
            ("runtime", f"{self.runtime} {self.runtime_version}"),
            ("size", size(self.bytes, self.fp32_bytes, self.seconds)),
            *self._there(),
            *warned(self.warnings),
            *warned([self.advice] if self.advice else []),
        )
        return "\n".join([written, *map(fold, self.notes)])

    def _there(self) -> list[tuple[str, object]]:
        if self.on is None:
            return []
        told = "  ".join(f"{name} {value:.2f}" for name, value in (self.latency_ms or {}).items())
        return [("built on", self.on), ("log", self.log), ("latency", f"{told} ms" if told else "not told")]

    def next_command(self) -> str:
        """Return what holds the engine against FP32."""
        return command_line("validate", self.engine, "--data", "IMAGES")


@overload
def build(
    model: Model = None,
    *,
    target: RunOn = None,
    precision: FloatPrecision = None,
    max_batch: MaxBatch = None,
    compute_capability: Capabilities = (),
    timing_cache: TimingCache = None,
    emit_script: Literal[False] = False,
    machine: ForMachine = None,
    on: OnDevice = None,
    output: Output = None,
    workspace: WorkspaceFolder = None,
) -> Build: ...
@overload
def build(
    model: Model = None,
    *,
    target: RunOn = None,
    precision: FloatPrecision = None,
    max_batch: MaxBatch = None,
    compute_capability: Capabilities = (),
    timing_cache: TimingCache = None,
    emit_script: bool,
    machine: ForMachine = None,
    on: OnDevice = None,
    output: Output = None,
    workspace: WorkspaceFolder = None,
) -> Build | BuildScript: ...
@command(example="convnext-edge build --target openvino")
def build(
    model: Model = None,
    *,
    target: RunOn = None,
    precision: FloatPrecision = None,
    max_batch: MaxBatch = None,
    compute_capability: Capabilities = (),
    timing_cache: TimingCache = None,
    emit_script: Annotated[bool, Option("TensorRT: write a folder that builds with trtexec.")] = False,
    machine: ForMachine = None,
    on: OnDevice = None,
    output: Output = None,
    workspace: WorkspaceFolder = None,
) -> Build | BuildScript:
    """Compile MODEL (default: the newest that fits) to an engine.

    model: an artifact of export or quantize; an FP32 model is lowered afresh for the target. target: by
    default the one that the model was made for, which refuses options that it has no use for. emit_script: as
    `build_script`. on: builds that folder on a Jetson by ssh, and brings the engine home.
    Raises ArtifactError, DeviceError, TargetError, UsageError.
    """
    if on is not None:
        for option, given in (
            ("compute-capability", compute_capability),
            ("timing-cache", timing_cache),
            ("emit-script", emit_script),
            ("for", machine),
        ):
            if given:
                raise UsageError(f"--{option} means nothing with --on", hint="Leave it out.")
        return build_on_device(
            on, model, target, (precision, max_batch), as_path(output), Workspace.at(workspace)
        )
    if emit_script:
        for option, given in (
            ("compute-capability", compute_capability),
            ("timing-cache", timing_cache),
            ("for", machine),
        ):
            if given:
                raise UsageError(f"--{option} means nothing with --emit-script", hint="Leave it out.")
        return build_script(
            model,
            target=target,
            precision=precision,
            max_batch=max_batch,
            output=output,
            workspace=workspace,
        )
    space = Workspace.at(workspace)
    start = find_model(model, target, space)
    with importing():
        from convnext_edge.targets.base import BuildOptions

    options = BuildOptions(precision, max_batch, tuple(compute_capability), as_path(timing_cache))
    return build_engine(start, target, options, machine, output=as_path(output), workspace=space)


def build_on_device(
    on: str,
    model: AnyPath | None,
    target: str | None,
    options: tuple[Literal["fp32", "fp16"] | None, int | None],
    output: Path | None,
    workspace: Workspace,
) -> Build:
    """Build an engine on a device, of the model that is named or the newest that fits TensorRT.

    options: precision and most images in a call.
    """
    with importing():
        from convnext_edge.commands.build_there import build_engine_there
        from convnext_edge.targets.base import BuildOptions

    where = Where(str(parse_address(on)))
    started = time.perf_counter()
    engine, built, log = build_engine_there(
        where, model, target or "tensorrt", BuildOptions(*options), output, workspace
    )
    recorded = engine.description.engine or {}
    return Build(
        engine=engine.path,
        target=str(engine.description.target),
        bytes=engine.bytes,
        runtime=str(recorded["runtime"]),
        runtime_version=str(recorded["version"]),
        seconds=round(time.perf_counter() - started, 3),
        files=tuple(engine.files),
        warnings=failings(engine),
        on=where.url,
        log=log,
        latency_ms=built.latency_ms or None,
    )


def build_engine(
    start: Artifact,
    target: str | None,
    options: BuildOptions,
    machine: Machine | None = None,
    *,
    output: Path | None,
    workspace: Workspace,
) -> Build:
    """Build an engine of a model. target: None for the one that it was made for."""
    with importing():
        from convnext_edge.checkpoints.kept_weights import keep_weights
        from convnext_edge.targets.building import describe_engine, fit_graph, write_engine
        from convnext_edge.targets.kernels import kernels_of

    started = time.perf_counter()
    chosen = find_target(target or start.description.target or DEFAULT)
    chosen.check(options)
    chosen.checked_machine(machine)
    check_suffix(output, chosen.suffix)
    chosen.record(options)  # refuses here what cannot be built, before anything is written
    graph = fit_graph(start, chosen, workspace)
    described = describe_engine(graph, chosen, options, machine)
    kernels = kernels_of(graph.description, chosen, machine)
    path = output or workspace.folder / file_name(described, chosen.suffix)
    if output is None:
        announce_replacement(path, described)
    doing(f"building {path.name} from {graph.path.name} with {chosen.package} {chosen.version()}")
    keep_weights(start, path, workspace)
    engine = write_engine(graph, chosen, described, options, path)
    return Build(
        engine=engine.path,
        target=chosen.name,
        bytes=engine.bytes,
        runtime=chosen.package,
        runtime_version=chosen.version(),
        seconds=round(time.perf_counter() - started, 3),
        files=tuple(engine.files),
        notes=tuple((engine.description.engine or {}).get("notes", ())),
        warnings=failings(engine),
        fp32_bytes=None if engine.description.precision == "fp32" else described.architecture.fp32_bytes,
        machine=kernels.machine,
        int8_kernels=kernels.int8,
        advice=kernels.advice,
    )
