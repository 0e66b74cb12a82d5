"""What the runtimes here multiply a model by, as they tell it themselves.

python -m benchmarks.support.kernel_lists RUNTIME MODEL

Prints JSON: how many layers with weights each kernel runs. A program of its own, so that it can run on an
emulated CPU, too.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

MULTIPLIES = ("Convolution", "FullyConnected", "MatMul")
# operators of ONNX Runtime's optimized graph that multiply by weights
ONNXRUNTIME_OPERATORS = (
    "MatMul",
    "MatMulIntegerToFloat",
    "MatMulNBits",
    "Conv",
    "FusedConv",
    "Gemm",
    "QLinearConv",
)
INT8_OPERATORS = ("MatMulIntegerToFloat", "QLinearConv")


def openvino_list(model: Path) -> Counter[str]:
    from convnext_edge.targets.openvino import OpenVINOSession

    return weighted(OpenVINOSession(model, 1).kernels())


def weighted(kernels: Iterable[tuple[str, str]]) -> Counter[str]:
    """How many nodes multiply by each kernel. kernels: layer type and primitive."""
    return Counter(primitive for kind, primitive in kernels if kind in MULTIPLIES)


def onnxruntime_list(model: Path) -> Counter[str]:
    import onnx

    from convnext_edge.targets.onnxruntime import create, session_options

    options = session_options(optimized=True)
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        create(model, options)
        graph = onnx.load(options.optimized_model_filepath).graph
    return Counter(node.op_type for node in graph.node if node.op_type in ONNXRUNTIME_OPERATORS)


def is_int8(kernel: str) -> bool:
    """Whether a kernel multiplies in INT8, by its name: OpenVINO's end in the type of the operands."""
    return kernel in INT8_OPERATORS or kernel.lower().endswith(("_i8", "_u8"))


LISTS = {"openvino": openvino_list, "onnxruntime": onnxruntime_list}

if __name__ == "__main__":
    print(json.dumps(LISTS[sys.argv[1]](Path(sys.argv[2]))))
