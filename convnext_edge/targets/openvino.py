"""OpenVINO on CPUs: convolutions in NCHW, INT8 in the runtime's 1x1 kernels."""

from __future__ import annotations

from collections.abc import Mapping
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
from convnext_edge.targets.base import NO_OPTIONS, BuildOptions, Images, Outputs, Session, Target
from convnext_edge.targets.vendor_errors import as_target_error, short_message


class OpenVINOSession(Session):
    """An ONNX file or an engine in OpenVINO, on the CPU.

    Its request takes one call at a time. More of them would gain nothing: set for latency, the plugin runs
    requests one after the other.

    timed: whether the runtime measures each layer, for `layer_times`.
    """

    runner = "OpenVINO"

    def __init__(self, model: Path, threads: int | None, *, timed: bool = False) -> None:
        with importing("openvino"):
            import openvino

        options: dict[str, Any] = {**OPENVINO_OPTIONS, "PERFORMANCE_HINT": "LATENCY"}
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

    def layer_times(self) -> dict[str, float]:
        """Return mean milliseconds of each node over all calls, by the name of the ONNX node behind it."""
        found: dict[str, float] = {}
        for node in self.request.profiling_info:
            name = node.node_name.split("/")[0]  # the plugin adds "/WithoutBiases" to convolutions
            found[name] = found.get(name, 0.0) + node.real_time.total_seconds() * 1000
        return found

    def kernels(self) -> list[tuple[str, str]]:
        """Return (layer type, primitive) of each node that the CPU plugin runs, as `jit_avx2_1x1_I8`."""
        nodes = self.compiled.get_runtime_model().get_ops()
        info = [node.get_rt_info() for node in nodes]
        return [(str(i["layerType"].value), str(i["primitiveType"].value)) for i in info if "layerType" in i]


class OpenVINO(Target):
    """OpenVINO with the plugin for CPUs."""

    name = "openvino"
    package = "openvino"
    install = "openvino>=2026.4"
    form = "conv"
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

    def time_layers(self, model: Path, images: Images, *, runs: int, threads: int) -> dict[str, float]:
        """Return mean milliseconds by layer, as the runtime itself counts them."""
        self.version()
        with OpenVINOSession(model, threads, timed=True) as session:
            for _ in range(runs):
                session.run(images)
            return session.layer_times()


TARGET = OpenVINO()
