"""Each operator that the simulation knows, held against ONNX Runtime's; the others are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.one_operator import FLOAT, Case, floats, one, write
from support.simulated import Array, in_onnxruntime, in_simulation

from convnext_edge.errors import TargetError
from convnext_edge.targets.simulation.graph import to_torch

INT32, INT64 = TensorProto.INT32, TensorProto.INT64


def sizes(*values: int) -> Array:
    return np.array(values, dtype=np.int64)


def round_trip(code_type: int, per_channel: bool) -> Case:
    """QuantizeLinear, then DequantizeLinear, over values that are halves of a step and beyond the range."""
    kind = helper.tensor_dtype_to_np_dtype(code_type)
    count = 4 if per_channel else 1
    shape = [count] if per_channel else []
    zero = helper.make_tensor("zero", code_type, shape, np.arange(1, count + 1).astype(kind))
    scale = np.array([0.25, 0.5, 2.0, 1.0][:count], dtype=np.float32).reshape(shape)
    quantize = helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"], axis=1)
    dequantize = helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["y"], axis=1)
    name = f"round trip-{TensorProto.DataType.Name(code_type)}-{per_channel}"
    return Case(name, [quantize, dequantize], {"scale": scale, "zero": zero})


def dequantized(code_type: int, shape: tuple[int, ...], scale: Array, **attributes: Any) -> Case:
    """A constant of codes without a zero point, added to x."""
    codes = np.random.default_rng(2).integers(-8, 8, shape)
    codes = np.abs(codes) if code_type in (TensorProto.UINT4, TensorProto.UINT8) else codes
    held: dict[str, Array | TensorProto] = {
        "codes": numpy_helper.from_array(codes.astype(helper.tensor_dtype_to_np_dtype(code_type)), "codes"),
        "scale": scale,
    }
    dequantize = helper.make_node("DequantizeLinear", ["codes", "scale"], ["floats"], **attributes)
    name = f"constant codes-{TensorProto.DataType.Name(code_type)}-{attributes}"
    return Case(name, [dequantize, helper.make_node("Add", ["x", "floats"], ["y"])], held)


def shape_chain() -> Case:
    """(N, 4, 6, 6) to (N, 1, 144) to (N, 5, 144), with every size computed by the graph."""
    node = helper.make_node
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "zero"], ["n"], axis=0),
        node("Unsqueeze", ["n", "axis"], ["n1"]),
        node("Slice", ["shape", "one", "end"], ["rest"]),
        node("Gather", ["rest", "zero"], ["c"], axis=0),
        node("Gather", ["rest", "last"], ["w"], axis=0),
        node("Mul", ["c", "w"], ["cw"]),
        node("Mul", ["cw", "w"], ["chw"]),
        node("Cast", ["chw"], ["chw_cast"], to=INT64),
        node("Unsqueeze", ["chw_cast", "axis"], ["chw1"]),
        node("Constant", [], ["single"], value_ints=[1]),
        node("Concat", ["n1", "single", "chw1"], ["target"], axis=0),
        node("Reshape", ["x", "target"], ["rows"]),
        node("Concat", ["n1", "five", "single"], ["wide"], axis=0),
        node("Expand", ["rows", "wide"], ["expanded"]),
        node("Cast", ["n"], ["count"], to=FLOAT),
        node("Div", ["expanded", "count"], ["y"]),
    ]
    scalars = {"zero": np.array(0, dtype=np.int64), "last": np.array(-1, dtype=np.int64)}
    vectors = {"axis": sizes(0), "one": sizes(1), "end": sizes(2**31), "five": sizes(5)}
    return Case("shapes", nodes, scalars | vectors)


CASES = [
    one("Conv", floats(5, 4, 3, 3), floats(5), pads=[1, 1, 1, 1], strides=[2, 2]),
    one("Conv", floats(4, 1, 3, 3), None, group=4, pads=[0, 1, 2, 1]),
    one("Conv", floats(5, 4, 2, 2), dilations=[2, 2], auto_pad="VALID"),
    one("MatMul", floats(6, 5)),
    one("Max", floats(1, 6)),
    one("Gemm", floats(5, 4), floats(5), shape=(3, 4), transB=1, alpha=0.5, beta=2.0),
    one("Gemm", floats(4, 5), shape=(3, 4)),
    one("LayerNormalization", floats(6), floats(6), epsilon=1e-6),
    one("LayerNormalization", floats(6, 6), axis=2),
    one("Gelu"),
    one("Gelu", approximate="tanh"),
    one("GlobalAveragePool"),
    *(one(name) for name in ("Erf", "Relu", "HardSwish", "Sigmoid", "Tanh", "Identity", "Reciprocal")),
    *(one(name, floats(4, 1, 1)) for name in ("Add", "Sub", "Mul", "Div")),
    one("Pow", np.array(2, dtype=np.float32)),
    one("Pow", np.array(3, dtype=np.int64)),
    one("ReduceMean", sizes(2, 3), keepdims=0),
    one("ReduceMean", sizes(-1)),
    one("ReduceSum", sizes(1), keepdims=1),
    one("ReduceSum", keepdims=1),
    one("ReduceSum", noop_with_empty_axes=1),
    one("ReduceL2", sizes(1, 2), keepdims=1),
    one("Transpose", perm=[0, 2, 3, 1]),
    one("Transpose"),
    one("Reshape", sizes(0, 2, -1)),
    one("Flatten"),
    one("Flatten", axis=-1),
    one("Squeeze", sizes(-1, 1), shape=(3, 1, 4, 1)),
    one("Unsqueeze", sizes(1, -1)),
    one("Gather", sizes(2, -1), axis=1),
    one("Gather", np.array(-2, dtype=np.int64), axis=2),
    one("Slice", sizes(1, -3), sizes(3, 2**62), sizes(1, -1), sizes(1, 2)),
    one("Concat", axis=-1),
    one("Expand", sizes(1, 4, 5), shape=(3, 4, 1)),
    Case(
        "Sqrt",
        [helper.make_node("Relu", ["x"], ["positive"]), helper.make_node("Sqrt", ["positive"], ["y"])],
        {},
    ),
    Case(
        "Cast", [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT32)], {}, result=TensorProto.INT32
    ),
    Case(
        "Div-int32",
        [helper.make_node("Div", ["x", "two"], ["y"])],
        {"two": np.array(2, dtype=np.int32)},
        dtype=np.int32,
        result=INT32,
    ),
    Case(
        "constant of floats",
        [
            helper.make_node("Constant", [], ["half"], value_float=0.5),
            helper.make_node("Mul", ["x", "half"], ["y"]),
        ],
        {},
    ),
    *(
        round_trip(kind, per_channel)
        for kind in (TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16)
        for per_channel in (False, True)
    ),
    round_trip(TensorProto.INT4, per_channel=False),
    one("QuantizeLinear", np.array(0.5, dtype=np.float32)),
    dequantized(INT32, (6,), floats(6), axis=0),
    dequantized(TensorProto.INT8, (4, 6, 6), floats(4), axis=0),
    dequantized(TensorProto.UINT8, (6, 6), floats(6), axis=-1),
    dequantized(TensorProto.INT4, (6, 6), floats(3, 6), axis=0, block_size=2),
    dequantized(TensorProto.UINT4, (6, 6), np.array(0.5, dtype=np.float32)),
    shape_chain(),
    one("Resize", None, None, sizes(9, 11), mode="linear", axes=[2, 3]),
]


def inputs(case: Case) -> Array:
    """Random numbers; before a QuantizeLinear many halfway between two codes, some beyond any range."""
    generator = np.random.default_rng(3)
    x = 3 * generator.standard_normal(case.shape)
    if case.quantizes:
        x = generator.integers(-40, 41, case.shape) / 8
        x.flat[:4] = [-1e6, 1e6, 100.5, -100.5]
    return x.astype(case.dtype)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_operator_matches_onnxruntime(case: Case, tmp_path: Path) -> None:
    path = write(case, tmp_path / "case.onnx")
    x = inputs(case)
    expected, simulated = in_onnxruntime(path, x), in_simulation(to_torch(path), x)
    assert simulated.dtype == expected.dtype
    tolerance = 0 if case.quantizes else 1e-5
    np.testing.assert_allclose(simulated, expected, rtol=tolerance, atol=tolerance)


def test_constants_come_from_external_data(tmp_path: Path) -> None:
    case = one("MatMul", floats(6, 200))
    path = write(case, tmp_path / "case.onnx")
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").is_file()
    x = floats(*case.shape)
    np.testing.assert_allclose(
        in_simulation(to_torch(path), x), in_onnxruntime(path, x), rtol=1e-5, atol=1e-5
    )


def test_tensors_with_alike_names_stay_apart(tmp_path: Path) -> None:
    names = ["a.b", "a_b", "steps"]  # the last is an attribute of the translator
    nodes = [
        helper.make_node("Add", ["x", names[0]], ["sum"]),
        helper.make_node("Mul", ["sum", names[1]], ["product"]),
    ]
    nodes.append(helper.make_node("Add", ["product", names[2]], ["y"]))
    constants = {name: factor * floats(6) for factor, name in enumerate(names, start=1)}
    path = write(Case("alike", nodes, constants), tmp_path / "case.onnx")
    x = floats(3, 4, 6, 6)
    np.testing.assert_allclose(
        in_simulation(to_torch(path), x), in_onnxruntime(path, x), rtol=1e-5, atol=1e-5
    )


# --- refusals ------------------------------------------------------------------------------------


def node(operator: str, **attributes: Any) -> list[onnx.NodeProto]:
    return [helper.make_node(operator, ["x"], ["y"], name="last", **attributes)]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (node("Softmax"), "operator Softmax of node last cannot be simulated"),
        (
            node("Gelu", domain="com.microsoft"),
            "operator com.microsoft.Gelu of node last cannot be simulated",
        ),
        (node("Relu", slope=0.5), "operator Relu of node last cannot be simulated: .*slope"),
    ],
)
def test_refuses_what_it_does_not_know(nodes: list[onnx.NodeProto], message: str, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=message) as refusal:
        to_torch(write(Case("unknown", nodes, {}), tmp_path / "case.onnx"))
    assert refusal.value.hint


def padded_same() -> Case:
    return one("Conv", floats(5, 4, 3, 3), auto_pad="SAME_UPPER")


def in_bfloat16() -> Case:
    constant = helper.make_tensor("c", TensorProto.BFLOAT16, [1], [1.0])
    return Case("bfloat16", [helper.make_node("Add", ["x", "c"], ["y"])], {"c": constant})


def dynamic_width() -> Case:
    return Case("width", node("Relu"), {}, shape=(3, 0, 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (padded_same, "operator Conv of node .* cannot be simulated: auto_pad SAME_UPPER"),
        (in_bfloat16, "type BFLOAT16 of tensor c cannot be simulated"),
        (dynamic_width, r"input x is dynamic beyond its first axis: \[0, 1\]"),
    ],
)
def test_refuses_what_it_would_get_wrong(make: Callable[[], Case], message: str, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=message):
        to_torch(write(make(), tmp_path / "case.onnx"))
