"""ONNX Runtime on CPUs: MatMul in NHWC, INT8 in fused MatMulIntegerToFloat.

Its CPU kernels multiply in 8 bits or in float. Activations of 16 bits are rounded and then multiplied in
float, which is slower than FP32: they are for NPUs that take the same file, as Qualcomm's
(https://github.com/microsoft/onnxruntime/pull/17015). Where weights alone are INT8, its optimizer puts
MatMulNBits, which by default rounds activations to 8 bits in blocks (42 dB on ConvNeXt-T). For single layers,
as the head, it is told to compute in float; in a model without any INT8 product such weights become float
when a session opens, exactly, at the speed and in the memory of FP32.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

from convnext_edge.artifacts.artifact import Artifact, Form
from convnext_edge.artifacts.files import temporary_folder
from convnext_edge.cpu import Machine
from convnext_edge.errors import TargetError
from convnext_edge.quantization.recipe import ACTIVATION_BITS, Recipe
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
from convnext_edge.targets.streams import ThreadedStreams
from convnext_edge.targets.vendor_errors import as_target_error, short_message

PROVIDERS = ["CPUExecutionProvider"]
QDQ_FUSIONS = ("QDQSelectorActionTransformer",)
FLOAT_PRODUCTS = ("session.qdq_matmulnbits_accuracy_level", "1")  # of MatMulNBits, which built engines keep
NO_SPINNING = ("session.intra_op.allow_spinning", "0")
KERNEL = "_kernel_time"  # what the profiler adds to the name of a node
WARM_UP = 1  # calls that a profile leaves out


class ONNXRuntimeSession(Session):
    """An ONNX file or an engine in ONNX Runtime, on the CPU.

    optimized: False runs the graph node by node as the file says, for comparison. weights_only: whether the
    model quantizes weights alone; the runtime then must not quantize activations by itself. spins: whether
    its threads keep the CPUs busy while they wait for the next call, which makes that call faster.
    """

    runner = "ONNX Runtime"
    takes_threads = True  # https://github.com/microsoft/onnxruntime/pull/19301: Run is thread-safe

    def __init__(
        self,
        model: Path,
        threads: int | None,
        *,
        optimized: bool = True,
        weights_only: bool = False,
        spins: bool = True,
    ) -> None:
        options = session_options(optimized=optimized, weights_only=weights_only)
        if not spins:
            options.add_session_config_entry(*NO_SPINNING)
        if threads is not None:
            options.intra_op_num_threads = threads
        self.session = create(model, options)
        self.input = self.session.get_inputs()[0].name

    def _run(self, images: Images) -> Outputs:
        return tuple(self.session.run(None, {self.input: images}))


class ONNXRuntime(Target):
    """ONNX Runtime with the provider for CPUs."""

    name = "onnxruntime"
    package = "onnxruntime"
    install = "onnxruntime>=1.31"
    form = "linear"
    int8_forms: ClassVar[Mapping[Machine, tuple[Form, ...]]] = {
        "x86-64": ("linear", "plain"),
        "aarch64": ("tiled", "linear", "plain"),
    }
    moment_norms = True
    # its input in INT8 would cost fidelity, its weights alone time: their kernel is slower than that of FP32
    recipe = Recipe(keep_float=("head",))
    activations = frozenset(ACTIVATION_BITS)
    takes_dynamic_size = True
    takes_segmenters = True
    takes_detectors = True
    takes_streams = True
    times_layers = True
    suffix = ".opt.onnx"

    def choose_recipe(self, path: Path | None, keep_float: Sequence[str] = ()) -> Recipe:
        """Return the recipe; weights alone in INT8 are for a small file, so those of the head are, too."""
        recipe = super().choose_recipe(path, keep_float)
        if recipe.activation == "float" and recipe.keep_float == self.recipe.keep_float:
            return replace(recipe, keep_float=())
        return recipe

    def build(self, model: Path, engine: Path, options: BuildOptions = NO_OPTIONS) -> None:
        """Save the graph with the runtime's fusions done, and ours, so that it loads and runs faster.

        Weights that stand alone in INT8 stay so: the file is to be small.
        """
        with importing("onnxruntime"):
            import onnxruntime

        import onnx

        from convnext_edge.onnx_graph.files import load
        from convnext_edge.onnx_graph.fused_bias import move_biases
        from convnext_edge.onnx_graph.qdq import quantizes_activations

        settings = session_options(optimized=True)
        # the level above rearranges weights for the CPU at hand
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        settings.optimized_model_filepath = str(engine)
        if model.with_name(f"{model.name}.data").exists():  # weights over protobuf's 2 GiB
            apart = "session.optimized_model_external_initializers"
            settings.add_session_config_entry(f"{apart}_file_name", f"{engine.name}.data")
            settings.add_session_config_entry(f"{apart}_min_size_in_bytes", "1024")
        without = () if quantizes_activations(load(model, weights=False)) else QDQ_FUSIONS
        try:
            create(model, settings, without=without)
        except TargetError as error:
            if engine.exists():  # the graph was accepted, it is the writing that failed
                raise OSError(short_message(error.__cause__ or error)) from error
            raise
        built = load(engine, weights=False)
        if move_biases(built):
            onnx.save(built, str(engine))

    def open_session(self, artifact: Artifact, *, threads: int | None = None) -> ONNXRuntimeSession:
        """Make an ONNX file or an engine ready to run."""
        self.version()
        weights_only = artifact.description.weights_only
        return ONNXRuntimeSession(artifact.path, threads, weights_only=weights_only)

    def open_beside(self, artifact: Artifact) -> ONNXRuntimeSession:
        """Make one ready whose threads sleep as they wait."""
        self.version()
        weights_only = artifact.description.weights_only
        return ONNXRuntimeSession(artifact.path, None, weights_only=weights_only, spins=False)

    def layers_of(self, nodes: Sequence[Node]) -> dict[str, float]:
        """Return milliseconds by layer, counted as `time_layers` does."""
        return {name: sum(times) for name, times in node_times(nodes).items()}

    def open_streams(self, artifact: Artifact, *, streams: int | None, threads: int) -> ThreadedStreams:
        """Make one ready to run several calls at a time, by default one for each thread.

        They share a session and its pool of threads, in which each call has its own thread beside the pool's.
        """
        self.version()
        count = streams or threads
        weights_only = artifact.description.weights_only
        session = ONNXRuntimeSession(artifact.path, threads - count + 1, weights_only=weights_only)
        return ThreadedStreams([session] * count, max(threads // count, 1))

    def time_layers(
        self, model: Path, images: Images, *, runs: int, threads: int, weights_only: bool = False
    ) -> dict[str, LayerTime]:
        """Return the time of each layer, from the runtime's profiler.

        What puts the input of a layer into INT8 counts as part of the layer.
        """
        self.version()
        options = session_options(optimized=True, weights_only=weights_only)
        options.intra_op_num_threads = threads
        options.enable_profiling = True
        with temporary_folder() as folder:
            options.profile_file_prefix = str(folder / "profile")
            session = create(model, options)
            name = session.get_inputs()[0].name
            for _ in range(WARM_UP + runs):
                session.run(None, {name: images})
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        nodes = nodes_of(events)
        kinds = {node.name: node.kind for node in nodes}
        return {
            name: LayerTime(fmean(times[WARM_UP:]), kinds[name]) for name, times in node_times(nodes).items()
        }


def nodes_of(events: list[dict[str, Any]]) -> list[Node]:
    """Return each call of each node, in the order in which they ran, from the events of a profile."""
    kernels = (e for e in events if e.get("cat") == "Node" and e["name"].endswith(KERNEL))
    return [
        Node(event["name"].removesuffix(KERNEL), event["args"]["op_name"], event["dur"] / 1000)
        for event in sorted(kernels, key=lambda event: float(event["ts"]))
    ]


def node_times(nodes: Sequence[Node]) -> dict[str, list[float]]:
    """Return the milliseconds of each call of each node, by name, from calls in the order in which they ran.

    Nodes run one after the other: a QuantizeLinear (or DequantizeLinear) is counted with the next node that
    computes something.
    """
    found: dict[str, list[float]] = {}
    waiting = 0.0
    for node in nodes:
        milliseconds = node.milliseconds
        if node.kind in ("QuantizeLinear", "DequantizeLinear"):
            waiting += milliseconds
            continue
        if node.kind not in ("Transpose", "Reshape"):
            milliseconds, waiting = milliseconds + waiting, 0.0
        found.setdefault(node.name, []).append(milliseconds)
    return found


def session_options(*, optimized: bool, weights_only: bool = False) -> Any:
    """Return options for a session of ONNX Runtime: it logs errors only.

    Where weights alone are INT8, products are computed in float.
    optimized: False runs the graph node by node as the file says. weights_only: True keeps the runtime from
    quantizing activations by itself.
    """
    with importing("onnxruntime"):
        import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.add_session_config_entry(*FLOAT_PRODUCTS)
    if weights_only:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def create(model: Path, options: Any, *, without: Sequence[str] = ()) -> Any:
    """Return a session of ONNX Runtime's own.

    without: names of the optimizers that are not to run. Raises TargetError where the graph is refused.
    """
    with importing("onnxruntime"):
        import onnxruntime

    with as_target_error(f"ONNX Runtime refuses {model}"):
        return onnxruntime.InferenceSession(
            str(model), options, providers=PROVIDERS, disabled_optimizers=list(without)
        )


TARGET = ONNXRuntime()
