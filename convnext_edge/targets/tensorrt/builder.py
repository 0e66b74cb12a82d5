"""From an ONNX graph to a plan, with what TensorRT and TensorRT-RTX have in common.

`module` is `tensorrt` or `tensorrt_rtx`. Only names that both have, and that TensorRT 10 and 11 share, are
used, but for what is said to belong to one; a test holds them against the published bindings.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import ModelProto

from convnext_edge.artifacts.files import temporary_folder, write_bytes
from convnext_edge.errors import TargetError, UsageError
from convnext_edge.onnx_graph.files import save
from convnext_edge.progress import Bars
from convnext_edge.quiet import is_verbose
from convnext_edge.targets.base import BuildOptions
from convnext_edge.targets.tensorrt.parts import Part

LOGGER = logging.getLogger("convnext_edge.tensorrt")


# --- building ------------------------------------------------------------------------------------


def build_plan(module: Any, part: Part, options: BuildOptions, log: Log | None = None) -> bytes:
    """Return the serialized engine of a part; raise TargetError with TensorRT's own words where it refuses.

    module: `tensorrt` or `tensorrt_rtx`. log: one of the same module, for callers that want to read it.
    """
    log = log or Log(module)
    builder = module.Builder(log.logger)
    network = parse(module, builder, part.graph, log)
    config = builder.create_builder_config()
    config.clear_flag(module.BuilderFlag.TF32)  # FP32 is to mean FP32
    config.profiling_verbosity = module.ProfilingVerbosity.DETAILED  # layer names for EngineInspector
    config.add_optimization_profile(profile(builder, part))
    set_compute_capabilities(module, config, options.compute_capabilities)
    read_timing_cache(config, options.timing_cache)
    with Bars() as bars:
        config.progress_monitor = monitor(module, bars)
        plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise TargetError(f"{module.__name__} builds no engine: {log.reason()}", hint="See its log with -v.")
    write_timing_cache(config, options.timing_cache)
    return bytes(plan)


def parse(module: Any, builder: Any, graph: ModelProto, log: Log) -> Any:
    """Return a strongly typed network of the graph; raise TargetError where TensorRT cannot read it."""
    # TensorRT 11 makes no other kind, and keeps the flag for those who come from 10
    network = builder.create_network(1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = module.OnnxParser(network, log.logger)
    with temporary_folder() as folder:  # by file: weights may exceed protobuf's 2 GiB
        path = folder / "model.onnx"
        save(graph, path)
        parsed = parser.parse_from_file(str(path))
    if not parsed:
        errors = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
        raise TargetError(f"{module.__name__} cannot read the graph: {errors}", hint="See its log with -v.")
    return network


def profile(builder: Any, part: Part) -> Any:
    """Return the profile for all sizes of a part's inputs."""
    made = builder.create_optimization_profile()
    for name, shape in part.shapes.items():
        made.set_shape(name, *((count, *shape) for count in part.ranges[name]))
    return made


# --- compute capabilities (TensorRT-RTX) ---------------------------------------------------------


def set_compute_capabilities(module: Any, config: Any, wanted: tuple[str, ...]) -> None:
    """Let one engine serve several generations of GPUs.

    wanted: compute capabilities, as "8.9"; an empty one leaves it to TensorRT-RTX: 8.0 and later.
    """
    if not wanted:
        return
    config.num_compute_capabilities = len(wanted)
    for index, capability in enumerate(wanted):
        config.set_compute_capability(find_capability(module, capability), index)


def find_capability(module: Any, capability: str) -> Any:
    """Return the enum's member of a capability as "8.9"; raise UsageError for one that is not supported."""
    members = {name: member for name, member in module.ComputeCapability.__members__.items() if "SM" in name}
    name = "SM" + capability.replace(".", "")
    if "." not in capability or name not in members:
        known = ", ".join(f"{name[2:-1]}.{name[-1]}" for name in members)
        raise UsageError(
            f"--compute-capability {capability} is none that {module.__name__} builds for",
            hint=f"It knows {known}; see https://developer.nvidia.com/cuda-gpus for those of GPUs.",
        )
    return members[name]


def is_covered(capability: str, built_for: Iterable[str]) -> bool:
    """Return whether a GPU runs an engine that was built for these; "8.0+" means 8.0 and all later."""
    found = _version(capability)
    return any(found >= _version(b[:-1]) if b.endswith("+") else found == _version(b) for b in built_for)


def _version(capability: str) -> tuple[int, ...]:
    return tuple(int(part) for part in capability.split("."))


# --- timing cache (TensorRT) ---------------------------------------------------------------------


def read_timing_cache(config: Any, path: Path | None) -> None:
    """Start from the timings of earlier builds; TensorRT itself drops those of another GPU or version."""
    if path is not None:
        cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
        config.set_timing_cache(cache, False)  # False: a foreign cache is no match


def write_timing_cache(config: Any, path: Path | None) -> None:
    """Keep the timings of this build and of those before it, where a file is given."""
    if path is not None:
        write_bytes(path.resolve(), bytes(config.get_timing_cache().serialize()))


# --- what the builder tells ----------------------------------------------------------------------


class Log:
    """TensorRT's log: errors are kept for our own messages, the rest is shown with -v."""

    def __init__(self, module: Any) -> None:
        self.messages: list[str] = []  # all of them, in order
        self.errors: list[str] = []
        outer, severity = self, module.ILogger.Severity
        levels = {severity.INFO: logging.INFO, severity.WARNING: logging.WARNING}

        class Logger(module.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                module.ILogger.__init__(self)  # as pybind11 asks

            def log(self, kind: Any, message: str) -> None:
                outer.messages.append(message)
                if kind in (severity.ERROR, severity.INTERNAL_ERROR):
                    outer.errors.append(message)
                elif is_verbose() and kind in levels:
                    LOGGER.log(levels[kind], "%s: %s", module.__name__, message)

        self.logger = Logger()

    def reason(self) -> str:
        """Return the last error, which is why a call failed."""
        return self.errors[-1] if self.errors else "it gives no reason"

    def weight_bytes(self) -> int:
        """Return the size of the weights in the engine; raise ValueError where no build has logged it."""
        (told,) = re.findall(r"Total Weights Memory: (\d+) bytes", "\n".join(self.messages))
        return int(told)

    def layers(self) -> list[EngineLayer]:
        """Return what the builder made of the graph. EngineInspector tells more, and needs a GPU."""
        lists = [message for message in self.messages if message.startswith("Layers:\n")]
        return [
            EngineLayer.parse(line) for text in lists for line in text.splitlines() if "LayerType" in line
        ]


@dataclass(frozen=True)
class EngineLayer:
    """One layer of an engine, as the log of the builder lists it."""

    name: str
    kind: str  # as "gemm"
    inputs: tuple[str, ...]  # types of the values that it reads, as "Int8"
    constants: tuple[str, ...]  # types of its constants

    @classmethod
    def parse(cls, line: str) -> EngineLayer:
        """Return the layer that a line of the log describes.

        line: "Name: stem_myl0_2, LayerType: gemm, Inputs: [ ... ], Constants: [ ... ], Outputs: [ ...".
        """
        name, kind, rest = line.removeprefix("Name: ").split(", ", 2)
        inputs, constants = rest.split(", Outputs:")[0].split("Constants:")
        return cls(
            re.sub(r"_myl\d+_\d+$", "", name),  # running numbers of the compiler
            kind.removeprefix("LayerType: "),
            tuple(re.findall(r"Datatype: (\w+)", inputs)),
            tuple(re.findall(r"Datatype: (\w+)", constants)),
        )


def monitor(module: Any, bars: Bars) -> Any:
    """Return a monitor that shows TensorRT's phases as progress bars, nested as they are."""

    class Monitor(module.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            bars.start(phase, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            bars.advance(phase)
            return True  # go on

        def phase_finish(self, phase: str) -> None:
            bars.finish(phase)

    return Monitor()
