"""The simulation of an ONNX graph in PyTorch, held against ONNX Runtime without its optimizations."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from torch import nn
from torch.export import Dim
from torch.fx import GraphModule
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from convnext_edge.errors import TargetError
from convnext_edge.model.architecture import Architecture
from convnext_edge.model.convnext import GRN, ConvNeXt
from convnext_edge.model.lowering import Form, lower
from convnext_edge.preprocessing import Preprocessing
from convnext_edge.quantization.quantizer import ConvNeXtQuantizer
from convnext_edge.recipe import Recipe
from convnext_edge.targets.simulation import to_torch

RESOLUTION = 64
FLOAT, INT32, INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64
Array = NDArray[Any]


def in_onnxruntime(path: Path, x: Array) -> Array:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    result: Array = session.run(None, {session.get_inputs()[0].name: x})[0]
    return result


def in_simulation(simulation: GraphModule, x: Array) -> Array:
    with torch.no_grad():
        result: Array = simulation(torch.from_numpy(x)).numpy()
    return result


def sqnr(reference: Array, candidate: Array) -> float:
    """In dB."""
    noise = np.square(reference - candidate).sum()
    return float(10 * np.log10(np.square(reference).sum() / max(noise, 1e-30)))


def images(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    shape = (count, 3, RESOLUTION, RESOLUTION)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


# --- whole models --------------------------------------------------------------------------------


def model(*, grn: bool) -> ConvNeXt:
    torch.manual_seed(0)
    model = ConvNeXt(Architecture((1, 1, 2, 1), (16, 24, 32, 48), classes=10, grn=grn)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):
            nn.init.constant_(parameter, 0.5)
    for module in model.modules():
        if isinstance(module, GRN):
            nn.init.normal_(module.weight)
    return model


def lowered(form: Form, *, grn: bool) -> nn.Module:
    return lower(model(grn=grn), form, preprocessing=Preprocessing(resolution=RESOLUTION), input_type="uint8")


def quantized(module: nn.Module) -> nn.Module:
    dynamic = {"x": {0: Dim("batch")}}
    exported = torch.export.export(module, (images(2),), dynamic_shapes=dynamic).module()
    prepared = prepare_pt2e(exported, ConvNeXtQuantizer(Recipe()))
    prepared(images(4))
    converted: nn.Module = convert_pt2e(prepared)
    return converted


def save(module: nn.Module, path: Path) -> Path:
    program = torch.onnx.export(
        module,
        (images(2),),
        dynamo=True,
        opset_version=20,
        dynamic_shapes={"x": {0: Dim("batch")}},
        input_names=["image"],
        output_names=["logits"],
        verbose=False,
    )
    assert program is not None
    program.save(path)
    return path


@dataclass(frozen=True)
class Exported:
    """A model's graphs, and the simulation of the quantized one."""

    fp32: Path
    int8: Path
    simulation: GraphModule


@pytest.fixture(
    scope="module",
    params=[("conv", False), ("conv", True), ("linear", False), ("linear", True)],
    ids=["conv-v1", "conv-v2", "linear-v1", "linear-v2"],
)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    form, grn = request.param
    folder = tmp_path_factory.mktemp("exported")
    module = lowered(form, grn=grn)
    fp32, int8 = save(module, folder / "fp32.onnx"), save(quantized(module), folder / "int8.onnx")
    return Exported(fp32, int8, to_torch(int8))


@pytest.fixture(scope="module", params=[False, True], ids=["v1", "v2"])
def plain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(lowered("plain", grn=request.param), tmp_path_factory.mktemp("plain") / "fp32.onnx")


def test_fp32_graph_matches_onnxruntime(exported: Exported) -> None:
    x = images(3).numpy()
    expected = in_onnxruntime(exported.fp32, x)
    assert np.abs(expected - in_simulation(to_torch(exported.fp32), x)).max() < 1e-4


def test_plain_graph_matches_onnxruntime(plain: Path) -> None:
    x = images(3).numpy()
    assert np.abs(in_onnxruntime(plain, x) - in_simulation(to_torch(plain), x)).max() < 1e-4


def test_int8_graph_matches_onnxruntime(exported: Exported) -> None:
    x = images(3).numpy()
    expected = in_onnxruntime(exported.int8, x)
    assert sqnr(in_onnxruntime(exported.fp32, x), expected) < 50, "the graph is hardly quantized"
    # a value on a rounding boundary may fall either way, and takes others along: 40 to 140 dB were seen
    assert sqnr(expected, in_simulation(exported.simulation, x)) >= 35


def test_graph_of_onnxruntimes_quantizer_matches(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "int8.onnx"
    quantize_static(plain, path, OneBatch(), quant_format=QuantFormat.QDQ, per_channel=True)
    x = images(3).numpy()
    assert sqnr(in_onnxruntime(path, x), in_simulation(to_torch(path), x)) >= 50


class OneBatch(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        self.batches = iter([{"image": images(4).numpy()}])

    def get_next(self) -> dict[str, Array] | None:
        return next(self.batches, None)


def test_simulation_exports_with_a_dynamic_batch(exported: Exported, tmp_path: Path) -> None:
    path = tmp_path / "simulation.pt2"
    dynamic = {"image": {0: Dim("batch")}}
    torch.export.save(torch.export.export(exported.simulation, (images(2),), dynamic_shapes=dynamic), path)
    loaded = torch.export.load(path).module()
    for batch in (1, 2, 5):
        x = images(batch).numpy()
        assert sqnr(in_simulation(exported.simulation, x), in_simulation(loaded, x)) > 100


def test_quantized_weights_stay_codes(exported: Exported) -> None:
    buffers = exported.simulation.buffers()
    weights = [buffer for buffer in buffers if buffer.dtype == torch.int8 and buffer.ndim > 1]
    assert len(weights) == 1 + 3 + 2 * 5 + 1  # stem, downsampling layers, pointwise layers, head


def test_input_keeps_its_name(exported: Exported) -> None:
    assert list(inspect.signature(exported.simulation.forward).parameters) == ["image"]


# --- single operators ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Nodes from "x" (batch first and dynamic) to "y", and the constants between."""

    name: str
    nodes: list[onnx.NodeProto]
    constants: dict[str, Array | TensorProto]
    shape: tuple[int, ...] = (3, 4, 6, 6)
    dtype: type[np.generic] = np.float32
    result: int = FLOAT

    @property
    def quantizes(self) -> bool:
        return any(node.op_type == "QuantizeLinear" for node in self.nodes)


def one(operator: str, *constants: Any, shape: tuple[int, ...] = (3, 4, 6, 6), **attributes: Any) -> Case:
    """A single node whose inputs after "x" are constants."""
    held = {f"c{i}": value for i, value in enumerate(constants) if value is not None}
    inputs = ["x", *(f"c{i}" if value is not None else "" for i, value in enumerate(constants))]
    name = "-".join([operator, *(f"{key}_{value}" for key, value in attributes.items())])
    return Case(name, [helper.make_node(operator, inputs, ["y"], **attributes)], held, shape)


def floats(*shape: int) -> Array:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


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
]


def write(case: Case, path: Path) -> Path:
    """As a file whose input has a dynamic first axis."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(case.dtype))
    result = TensorProto.UINT8 if case.nodes[-1].op_type == "QuantizeLinear" else case.result
    graph = helper.make_graph(
        case.nodes,
        "case",
        [helper.make_tensor_value_info("x", kind, ["N", *case.shape[1:]])],
        [helper.make_tensor_value_info("y", result, None)],
        [
            numpy_helper.from_array(value, name) if isinstance(value, np.ndarray) else value
            for name, value in case.constants.items()
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


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
