"""How near the limit ConvNeXt-T in INT8 is: our time over that of its INT8 products alone.

    python -m benchmarks.measure.kernels

The products are those of the pointwise and downsampling layers, u8 by s8 with sums of 32 bits, each shape
in a model of its own. OpenVINO's are 1x1 convolutions that give floats, timed by the runtime itself, without
what brings their input into INT8; ONNX Runtime's are MatMulInteger, timed from outside. The limit takes the
faster of both for each shape. All run with one thread, in turns, in one process: one thread does not wait
for work.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from benchmarks.measure.latency import OURS_OPENVINO, OURS_ORT, make_ours
from benchmarks.support.reports import Bar, Reporting, report_options
from benchmarks.support.turns import open_call
from convnext_edge.cpu import read_cpu
from convnext_edge.evaluation.timing import times_as_fast

NEAREST = {True: 1.25, False: 1.5}  # our time over the products' at most, by whether INT8 saturates
WARM_UP = 3
Call = Callable[[], float]  # one call, in milliseconds


class Product(NamedTuple):
    """A product of `rows` pixels of `depth` values each by a matrix (depth, width)."""

    rows: int
    depth: int
    width: int

    @property
    def multiplications(self) -> int:
        return self.rows * self.depth * self.width

    def __str__(self) -> str:
        return f"{self.rows} x {self.depth} x {self.width}"


def products(model: Path) -> dict[Product, int]:
    """Return how often an INT8 model multiplies by a matrix of each shape, from its sidecar."""
    from convnext_edge.artifacts.store import open_artifact

    described = open_artifact(model).description
    architecture = described.architecture
    edge = described.preprocessing.resolution // architecture.patch
    found: dict[Product, int] = {}
    for index, (depth, dim) in enumerate(zip(architecture.depths, architecture.dims, strict=True)):
        if index:
            edge //= 2
            before = architecture.dims[index - 1]
            found[Product(edge**2, 4 * before, dim)] = 1
        for shape in (Product(edge**2, dim, 4 * dim), Product(edge**2, 4 * dim, dim)):
            found[shape] = found.get(shape, 0) + depth
    return found


def openvino_call(product: Product) -> Call:
    """Return a call of a 1x1 convolution in INT8 that gives floats, timed by the runtime."""
    import openvino as ov
    from openvino import opset13 as ops

    random = np.random.default_rng(0)
    rows, depth, width = product
    images = ops.parameter([1, depth, rows, 1], np.float32)
    low, high = (np.float32(end) for end in (-128 * 0.02, 127 * 0.02))
    values = ops.fake_quantize(images, low, high, low, high, 256)
    weights = random.integers(-127, 128, (width, depth, 1, 1), np.int8)
    scales = np.full((width, 1, 1, 1), 0.01, np.float32)
    matrix = ops.multiply(ops.convert(ops.constant(weights), "f32"), scales)
    made = ops.convolution(values, matrix, [1, 1], [0, 0], [0, 0], [1, 1])
    options = {"INFERENCE_NUM_THREADS": 1, "PERF_COUNT": True, "INFERENCE_PRECISION_HINT": "f32"}
    request = ov.Core().compile_model(ov.Model([made], [images]), "CPU", options).create_infer_request()
    noise = random.standard_normal((1, depth, rows, 1), np.float32)

    def call() -> float:
        request.infer([noise])
        (node,) = (found for found in request.profiling_info if found.node_type == "Convolution")
        if not node.exec_type.endswith("I8"):
            raise click.ClickException(f"OpenVINO multiplies {product} by {node.exec_type}, not in INT8")
        return float(node.real_time.total_seconds()) * 1000

    return call


def onnxruntime_call(product: Product) -> Call:
    """Return a call of MatMulInteger."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    rows, depth, width = product
    weights = numpy_helper.from_array(random.integers(-127, 128, (depth, width), np.int8), "weights")
    node = helper.make_node("MatMulInteger", ["codes", "weights"], ["sums"])
    codes = helper.make_tensor_value_info("codes", TensorProto.UINT8, [rows, depth])
    sums = helper.make_tensor_value_info("sums", TensorProto.INT32, [rows, width])
    graph = helper.make_graph([node], "product", [codes], [sums], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    images = {"codes": random.integers(0, 256, (rows, depth), np.uint8)}
    return timed(lambda: session.run(None, images))


def timed(function: Callable[[], object]) -> Call:
    """Return a call of a function that tells the milliseconds it took."""

    def call() -> float:
        started = time.perf_counter()
        function()
        return 1000 * (time.perf_counter() - started)

    return call


def take_turns(calls: dict[Any, Call], runs: int) -> dict[Any, np.ndarray]:
    """Return the milliseconds of each call, (runs,); before each there is one that does not count."""
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    times: dict[Any, list[float]] = {name: [] for name in calls}
    for _ in range(runs):
        for name, call in calls.items():
            call()
            times[name].append(call())
    return {name: np.array(found) for name, found in times.items()}


def limit(times: dict[Any, np.ndarray], counts: dict[Product, int]) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the milliseconds of all products together in each round, (runs,), and a table of each."""
    total, table = np.zeros(len(next(iter(times.values())))), {}
    for product, count in counts.items():
        found = {runtime: times[runtime, product] for runtime in ("openvino", "onnxruntime")}
        fastest = min(found, key=lambda runtime: float(np.median(found[runtime])))
        total += count * found[fastest]
        row: dict[str, Any] = {f"{name}_ms": round(float(np.median(t)), 4) for name, t in found.items()}
        rate = product.multiplications / float(np.median(found[fastest])) / 1e6
        table[str(product)] = row | {"count": count, "billion_multiplications_a_second": round(rate, 1)}
    return total, table


@click.command()
@click.option("--runs", default=30, show_default=True, help="Timed calls of each.")
@report_options
def main(runs: int, reporting: Reporting) -> None:
    """Time ConvNeXt-T in INT8, and its products alone, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        made = make_ours(Path(folder), "demo")
        counts = products(made.models[OURS_OPENVINO])
        calls: dict[Any, Call] = {name: timed(open_call(c, 1)) for name, c in made.contenders.items()}
        calls |= {("openvino", product): openvino_call(product) for product in counts}
        calls |= {("onnxruntime", product): onnxruntime_call(product) for product in counts}
        times = take_turns(calls, runs)
    total, table = limit(times, counts)
    ratios = {name: times_as_fast(times[name], total) for name in (OURS_OPENVINO, OURS_ORT)}
    at_most = NEAREST[read_cpu().int8_saturates]
    bars = [Bar("ours in openvino, over its products alone", ratios[OURS_OPENVINO].value, at_most=at_most)]
    measured = {
        "model": "tiny, random weights, 224, batch 1, one thread",
        "runs": runs,
        "products_ms": round(float(np.median(total)), 3),
        "models_ms": {name: round(float(np.median(times[name])), 3) for name in ratios},
        "over_products": {
            name: {"ratio": found.value, "ci95": [found.low, found.high]} for name, found in ratios.items()
        },
        "products": table,
    }
    reporting.finish("kernels", measured, bars)


if __name__ == "__main__":
    main()
