"""Damaged ONNX files: bytes that no longer are a model, and models whose graph is nonsense."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from benchmarks.fuzzing.edits import damaged

RESOLUTION, CHANNELS, CLASSES = 32, 4, 3
OPERATORS = ("Nonsense", "Relu", "Conv", "Gemm", "Reshape", "Loop", "If", "Transpose", "Concat", "Sequence")


@cache
def small_model() -> bytes:
    """Return a quantized convolution, a pooling and a layer for three classes."""
    random = np.random.default_rng(0)
    held = {
        "scale": np.float32(0.02), "zero": np.uint8(128), "w_scale": np.float32(0.01), "w_zero": np.int8(0),
        "w": random.integers(-9, 9, (CHANNELS, 3, 4, 4), np.int8),
        "head": random.standard_normal((CLASSES, CHANNELS)).astype(np.float32),
        "bias": np.zeros(CLASSES, np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], "quantize"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], "dequantize"),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["dw"], "weight"),
        helper.make_node("Conv", ["d", "dw"], ["c"], "stem", strides=[4, 4], kernel_shape=[4, 4]),
        helper.make_node("GlobalAveragePool", ["c"], ["g"], "pool"),
        helper.make_node("Flatten", ["g"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "head", "bias"], ["y"], "head", transB=1),
    ]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, RESOLUTION, RESOLUTION])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", CLASSES])
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()]
    graph = helper.make_graph(nodes, "small", [given], [answer], constants)
    return serialized(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))


@cache
def small_convnext() -> bytes:
    """Return a ConvNeXt of one block in float, as an exporter writes it."""
    random = np.random.default_rng(0)
    wide, edge = 4 * CHANNELS, 7
    shapes = {
        "stem": (CHANNELS, 3, 4, 4), "stem_bias": (CHANNELS,), "w0": (CHANNELS,), "b0": (CHANNELS,),
        "dw": (CHANNELS, 1, edge, edge), "dw_bias": (CHANNELS,), "w1": (CHANNELS,), "b1": (CHANNELS,),
        "up": (CHANNELS, wide), "up_bias": (wide,), "down": (wide, CHANNELS), "down_bias": (CHANNELS,),
        "head": (CLASSES, CHANNELS), "head_bias": (CLASSES,),
    }  # fmt: skip
    to_last, to_first = {"perm": [0, 2, 3, 1]}, {"perm": [0, 3, 1, 2]}
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Conv", ["x", "stem", "stem_bias"], "c", {"strides": [4, 4], "kernel_shape": [4, 4]}),
        ("Transpose", ["c"], "ct", to_last),
        ("LayerNormalization", ["ct", "w0", "b0"], "n", {"axis": -1, "epsilon": 1e-6}),
        ("Transpose", ["n"], "m", to_first),
        (
            "Conv",
            ["m", "dw", "dw_bias"],
            "d",
            {"group": CHANNELS, "pads": [3] * 4, "kernel_shape": [edge] * 2},
        ),
        ("Transpose", ["d"], "dt", to_last),
        ("LayerNormalization", ["dt", "w1", "b1"], "dn", {"axis": -1, "epsilon": 1e-6}),
        ("MatMul", ["dn", "up"], "u", {}),
        ("Add", ["u", "up_bias"], "ub", {}),
        ("Relu", ["ub"], "a", {}),
        ("MatMul", ["a", "down"], "v", {}),
        ("Add", ["v", "down_bias"], "vb", {}),
        ("Transpose", ["vb"], "vt", to_first),
        ("Add", ["m", "vt"], "s", {}),
        ("GlobalAveragePool", ["s"], "g", {}),
        ("Flatten", ["g"], "f", {}),
        ("Gemm", ["f", "head", "head_bias"], "y", {"transB": 1}),
    ]
    nodes = [helper.make_node(kind, inputs, [made], made, **more) for kind, inputs, made, more in steps]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, RESOLUTION, RESOLUTION])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", CLASSES])
    constants = [
        numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    graph = helper.make_graph(nodes, "convnext", [given], [answer], constants)
    return serialized(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10))


@st.composite
def models(draw: st.DrawFn, sound: Callable[[], bytes] = small_model) -> bytes:
    """Return an ONNX file: damaged bytes, or one to three parts of the graph changed."""
    if draw(st.integers(0, 2)) == 0:
        return draw(damaged(sound()))
    model = ModelProto.FromString(sound())
    for _ in range(draw(st.integers(1, 3))):
        draw(st.sampled_from(CHANGES))(model, draw)
    return serialized(model)


def serialized(model: ModelProto) -> bytes:
    """Return the content of the file of a model."""
    content: bytes = model.SerializeToString()  # protobuf ships no types
    return content


def _names(model: ModelProto) -> list[str]:
    return ["", "x", "y", "nowhere", *(name for node in model.graph.node for name in node.output)]


def _rewire(model: ModelProto, draw: st.DrawFn) -> None:
    node = draw(st.sampled_from(model.graph.node))
    wires = draw(st.sampled_from((node.input, node.output)))
    if len(wires):
        wires[draw(st.integers(0, len(wires) - 1))] = draw(st.sampled_from(_names(model)))


def _operator(model: ModelProto, draw: st.DrawFn) -> None:
    node = draw(st.sampled_from(model.graph.node))
    node.op_type = draw(st.sampled_from(OPERATORS))


def _attribute(model: ModelProto, draw: st.DrawFn) -> None:
    node = draw(st.sampled_from(model.graph.node))
    del node.attribute[:]
    numbers = draw(st.lists(st.sampled_from((0, -1, 1, 2**31, 2**62)), max_size=3))
    name = draw(st.sampled_from(("strides", "kernel_shape", "group", "axis", "pads", "transB", "perm")))
    several = bool(numbers) and draw(st.booleans())
    value = numbers if several else draw(st.sampled_from((0, -1, 2**62, 0.5, "x")))
    node.attribute.append(helper.make_attribute(name, value))


def _constant(model: ModelProto, draw: st.DrawFn) -> None:
    tensor = draw(st.sampled_from(model.graph.initializer))
    match draw(st.sampled_from(("dims", "type", "data", "outside", "nan", "name"))):
        case "dims":
            tensor.dims[:] = draw(st.lists(st.sampled_from((0, 1, -1, 3, 2**31, 2**40)), max_size=4))
        case "type":
            tensor.data_type = draw(st.sampled_from((0, 1, 2, 3, 7, 8, 9, 10, 16, 99)))
        case "data":
            tensor.raw_data = draw(damaged(tensor.raw_data or b"\0"))
        case "outside":
            tensor.data_location = TensorProto.EXTERNAL
            place = draw(st.sampled_from(("../other.txt", "/etc/hostname", "model.onnx", "", "a\x01b")))
            del tensor.external_data[:]
            for key, value in (("location", place), ("offset", "-8"), ("length", str(2**40))):
                tensor.external_data.add(key=key, value=value)
        case "nan":
            tensor.raw_data = np.full(len(tensor.raw_data) // 4, np.nan, np.float32).tobytes()
        case _:
            tensor.name = "nowhere"


def _border(model: ModelProto, draw: st.DrawFn) -> None:
    values = draw(st.sampled_from((model.graph.input, model.graph.output)))
    match draw(st.sampled_from(("none", "twice", "type", "shape", "name"))):
        case "none":
            del values[:]
        case "twice" if len(values):
            values.append(values[0])
        case "type" if len(values):
            values[0].type.tensor_type.elem_type = draw(st.sampled_from((0, 1, 2, 7, 8, 11)))
        case "shape" if len(values):
            shape = values[0].type.tensor_type.shape
            del shape.dim[:]
            for size in draw(st.lists(st.sampled_from((0, -1, 1, 3, 32, 2**40)), max_size=5)):
                shape.dim.add(dim_value=size)
        case "name" if len(values):
            values[0].name = draw(st.sampled_from(("", "nowhere", "q", "a/../b")))


def _version(model: ModelProto, draw: st.DrawFn) -> None:
    if draw(st.booleans()):
        model.ir_version = draw(st.sampled_from((0, -1, 3, 99, 2**40)))
    elif draw(st.booleans()) or not model.opset_import:  # an earlier change may have taken it away
        del model.opset_import[:]
    else:
        model.opset_import[0].version = draw(st.sampled_from((0, 1, 9, 99, 2**40)))


def _nodes(model: ModelProto, draw: st.DrawFn) -> None:
    nodes = model.graph.node
    at = draw(st.integers(0, len(nodes) - 1)) if len(nodes) else 0
    if draw(st.booleans()) and len(nodes) > 1:
        del nodes[at]
    else:
        nodes.append(nodes[at])


CHANGES = (_rewire, _rewire, _operator, _attribute, _constant, _constant, _border, _version, _nodes)
