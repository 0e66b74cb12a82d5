"""OpenVINO on CPUs: convolutions in NCHW, INT8 in the runtime's 1x1 kernels."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from convnext_edge.artifacts.artifact import Artifact, Form
from convnext_edge.artifacts.metadata import OPENVINO_OPTIONS
from convnext_edge.cpu import Machine
from convnext_edge.guest import keep_signal_stack
from convnext_edge.onnx_graph.files import load, read_metadata
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.quiet import importing
from convnext_edge.targets.base import (
    NO_OPTIONS,
    BuildOptions,
    Images,
    LayerTime,
    Node,
    Outputs,
    Session,
    Target,
)
from convnext_edge.targets.streams import Request, Streams
from convnext_edge.targets.vendor_errors import as_target_error, short_message


class OpenVINOSession(Session):
    """An ONNX file or an engine in OpenVINO, on the CPU.

    Its request takes one call at a time. Set for latency, the plugin runs requests one after the other, so
    that more of them would gain nothing; for throughput, `another` makes more.

    timed: whether the runtime measures each layer, for `layer_times`. streams: how many requests the plugin
    runs at a time; 0 leaves that to it.
    """

    runner = "OpenVINO"

    def __init__(
        self, model: Path, threads: int | None, *, timed: bool = False, streams: int | None = None
    ) -> None:
        with importing("openvino"):
            import openvino

            # two threads that show OpenVINO its first array at once wait for each other for ever, as its
            # bindings load NumPy's functions then: under a lock of C++, while the other one holds Python's
            openvino.Tensor(np.zeros(1, np.float32))
        hint = "LATENCY" if streams is None else "THROUGHPUT"
        options: dict[str, Any] = {**OPENVINO_OPTIONS, "PERFORMANCE_HINT": hint}
        if streams:
            options["NUM_STREAMS"] = streams
        if timed:
            options["PERF_COUNT"] = True
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        with as_target_error(f"OpenVINO refuses {model}"), keep_signal_stack():
            core = openvino.Core()
            self.compiled = core.compile_model(core.read_model(model), "CPU", options)
            self.request = self.compiled.create_infer_request()
        self.input = self.compiled.input(0)

    def _run(self, images: Images) -> Outputs:
        self._check(images)
        found = self.request.infer({0: images})
        return tuple(np.array(found[output], dtype=np.float32) for output in self.compiled.outputs)

    def _check(self, images: Images) -> None:
        """Raise ValueError for what OpenVINO itself would silently cast, or take for another shape."""
        kind, shape = self.input.element_type, self.input.partial_shape
        fits = images.ndim == len(shape) and all(
            length.is_dynamic or length.get_length() == edge
            for length, edge in zip(list(shape)[1:], images.shape[1:], strict=True)
        )
        if not fits or images.dtype != kind.to_dtype():
            raise ValueError(f"its input is {shape.to_string()} of {kind.to_string()}")

    def layer_times(self) -> dict[str, LayerTime]:
        """Return the mean time over all calls, by the name of the ONNX node that a node comes from."""
        nodes = self.request.profiling_info
        return by_layer(
            (node.node_name, LayerTime(node.real_time.total_seconds() * 1000, node.node_type, node.exec_type))
            for node in nodes
        )

    def kernels(self) -> list[tuple[str, str]]:
        """Return (layer type, primitive) of each node that the CPU plugin runs, as `jit_avx2_1x1_I8`."""
        nodes = self.compiled.get_runtime_model().get_ops()
        info = [node.get_rt_info() for node in nodes]
        return [(str(i["layerType"].value), str(i["primitiveType"].value)) for i in info if "layerType" in i]


def by_layer(nodes: Iterable[tuple[str, LayerTime]]) -> dict[str, LayerTime]:
    """Return the times of ONNX nodes by name, from those of the plugin's nodes.

    Of several nodes with one origin, operator and kernel are those of the slowest.
    """
    parts: dict[str, list[LayerTime]] = {}
    for name, found in nodes:  # the plugin adds "/WithoutBiases" to convolutions
        parts.setdefault(name.split("/")[0], []).append(found)
    slowest = {name: max(times, key=lambda time: time.milliseconds) for name, times in parts.items()}
    return {
        name: replace(slowest[name], milliseconds=sum(time.milliseconds for time in times))
        for name, times in parts.items()
    }


class OpenVINOStreams(Streams):
    """An engine in OpenVINO with its own queue of asynchronous requests, as OpenVINO's benchmark_app has it.

    A thread of Python's for each request would cost a third of the throughput where a request takes half a
    millisecond: they wait for each other to take the answers. Here, answers stay where the runtime puts them.
    """

    def __init__(self, model: Path, streams: int | None, threads: int) -> None:
        self.session = OpenVINOSession(model, threads, streams=streams or 0)
        import openvino  # silenced as the session has it

        self.count = max(int(self.session.compiled.get_property("NUM_STREAMS")), 1)
        self.threads = max(threads // self.count, 1)
        self.queue = openvino.AsyncInferQueue(self.session.compiled, self.count)
        self.tensor = openvino.Tensor

    def keep_busy(self, images: Images, seconds: float) -> list[list[Request]]:
        """Do as the base says; OpenVINO itself measures how long a request takes."""
        found: list[list[Request]] = [[] for _ in range(self.count)]
        began: dict[int, float] = {}  # requests in flight, by number
        with as_target_error("OpenVINO cannot run the model with several requests in flight"):
            for request in self.queue:
                request.set_input_tensor(self.tensor(images))
            started, sent = time.perf_counter(), 0

            def land(number: int) -> None:
                before = began.pop(number)
                found[number].append((before, before + self.queue[number].latency / 1000))

            while sent < self.count or time.perf_counter() - started < seconds:
                number = self.queue.get_idle_request_id()  # waits for one
                if number in began:
                    land(number)
                began[number] = time.perf_counter() - started
                self.queue.start_async()  # takes the one that was told
                sent += 1
            self.queue.wait_all()
            for number in list(began):
                land(number)
        return found


class OpenVINO(Target):
    """OpenVINO with the plugin for CPUs."""

    name = "openvino"
    package = "openvino"
    install = "openvino>=2026.4"
    form = "conv"
    moment_norms = True
    # the plugin for ARM64 has INT8 convolutions with an INT8 output only, but products of matrices with a
    # float one: in the form for x86-64, it would compute all products in float
    int8_forms: ClassVar[Mapping[Machine, tuple[Form, ...]]] = {
        "x86-64": ("conv", "linear", "plain"),
        "aarch64": ("rows", "linear", "tiled"),
    }
    recipe = Recipe(weights_only=("head",))  # whose input in INT8 costs fidelity and saves no time
    # it leaves Q/DQ of 16 bits out of the graph: what runs would be `float`
    activations = frozenset({"uint8", "int8", "float"})
    takes_dynamic_size = True
    takes_segmenters = True
    takes_detectors = True
    takes_streams = True
    times_layers = True
    suffix = ".xml"

    def build(self, model: Path, engine: Path, options: BuildOptions = NO_OPTIONS) -> None:
        """Convert the graph to OpenVINO's own format, a file of the graph and one of the weights.

        OpenVINO's own function for it takes the same two steps, and reports each call to its makers.
        """
        with importing("openvino"):
            import openvino
        from openvino._offline_transformations import apply_moc_transformations

        with as_target_error(f"OpenVINO refuses {model}"):
            converted = openvino.Core().read_model(model)
            apply_moc_transformations(converted, cf=False, smart_reshape=True)
            for place, value in read_metadata(load(model, weights=False)).items():
                converted.set_rt_info(value, list(place))
        try:
            # FP16 weights would save space but not time on a CPU, and change the answers
            openvino.save_model(converted, engine, compress_to_fp16=False)
        except RuntimeError as error:  # a full disk
            raise OSError(short_message(error)) from error

    def open_session(self, artifact: Artifact, *, threads: int | None = None) -> OpenVINOSession:
        """Make an ONNX file or an engine ready to run."""
        self.version()
        return OpenVINOSession(artifact.path, threads)

    def layers_of(self, nodes: Sequence[Node]) -> dict[str, float]:
        """Return milliseconds by layer, counted as `time_layers` does."""
        timed = by_layer((node.name, LayerTime(node.milliseconds, node.kind)) for node in nodes)
        return {name: layer.milliseconds for name, layer in timed.items()}

    def open_streams(self, artifact: Artifact, *, streams: int | None, threads: int) -> Streams:
        """Make one ready to run several calls at a time, as many as the plugin likes where None are given."""
        self.version()
        return OpenVINOStreams(artifact.path, streams, threads)

    def time_layers(
        self, model: Path, images: Images, *, runs: int, threads: int, weights_only: bool = False
    ) -> dict[str, LayerTime]:
        """Return the time of each layer, as the runtime itself counts it."""
        self.version()
        with OpenVINOSession(model, threads, timed=True) as session:
            for _ in range(runs):
                session.run(images)
            return session.layer_times()


TARGET = OpenVINO()
