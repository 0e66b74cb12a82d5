"""Weights out of ONNX graphs that are written node by node: what each shows, or why it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from support.onnx_files import FOREIGN, OURS, saved

from benchmarks.fuzzing.graphs import CHANNELS, CLASSES, RESOLUTION, small_convnext
from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.config_traits import Traits
from convnext_edge.checkpoints.load_source import load_source
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.checkpoints.onnx_weights.reading import is_onnx, read_graph
from convnext_edge.errors import CheckpointError

pytestmark = pytest.mark.slow


@pytest.fixture
def convnext() -> ModelProto:
    """One block of 4 channels, written node by node."""
    return ModelProto.FromString(small_convnext())


def node(model: ModelProto, name: str) -> NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def test_what_a_graph_by_hand_shows(convnext: ModelProto, tmp_path: Path) -> None:
    loaded = load_checkpoint(saved(convnext, tmp_path))
    assert loaded.architecture == Architecture(
        (1,), (CHANNELS,), classes=CLASSES, layer_scale=False, activation="relu", last_norm=False
    )
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in convnext.graph.initializer}
    found = loaded.model.state_dict()
    np.testing.assert_array_equal(found["stem.conv.weight"], held["stem"])
    np.testing.assert_array_equal(found["stages.0.blocks.0.pwconv1.weight"], held["up"].T)
    np.testing.assert_array_equal(found["head.bias"], held["head_bias"])
    assert loaded.graph.changes.resolution == (RESOLUTION, RESOLUTION)


def test_channels_that_the_input_leaves_open_are_those_of_the_stem(
    convnext: ModelProto, tmp_path: Path
) -> None:
    for axis, name in zip(
        convnext.graph.input[0].type.tensor_type.shape.dim,
        ("batch_size", "num_channels", "height", "width"),
        strict=True,
    ):
        axis.dim_param = name
    loaded = load_checkpoint(saved(convnext, tmp_path))
    assert loaded.architecture.channels == 3
    assert loaded.graph.changes.resolution is None


def test_nodes_may_stand_in_any_order(convnext: ModelProto, tmp_path: Path) -> None:
    nodes = list(convnext.graph.node)
    del convnext.graph.node[:]
    convnext.graph.node.extend(reversed(nodes))
    assert load_checkpoint(saved(convnext, tmp_path)).architecture.depths == (1,)
    first = node(convnext, "c")
    first.input[0] = "ct"
    with pytest.raises(CheckpointError, match="nodes that read each other in a circle"):
        load_checkpoint(saved(convnext, tmp_path))


@pytest.mark.parametrize(("brightest", "kind"), [(1.0, "float32"), (255.0, "float32"), (255.0, "uint8")])
def test_a_normalization_in_the_graph_is_told(
    brightest: float, kind: str, convnext: ModelProto, tmp_path: Path
) -> None:
    mean, std = np.array([0.5, 0.4, 0.3], np.float32), np.array([0.25, 0.2, 0.125], np.float32)
    shape = (1, 3, 1, 1)
    for name, values in (("mean", mean * brightest), ("std", std * brightest)):
        convnext.graph.initializer.append(
            numpy_helper.from_array(values.astype(np.float32).reshape(shape), name)
        )
    steps = [
        helper.make_node("Cast", ["x"], ["x0"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["x0", "mean"], ["x1"]),
        helper.make_node("Div", ["x1", "std"], ["x2"]),
    ]
    node(convnext, "c").input[0] = "x2"
    for step in reversed(steps):
        convnext.graph.node.insert(0, step)
    convnext.graph.input[0].type.tensor_type.elem_type = getattr(
        TensorProto, {"float32": "FLOAT", "uint8": "UINT8"}[kind]
    )
    source = load_source(checkpoint=saved(convnext, tmp_path))
    assert source.prepared_by.startswith("its graph normalizes pixels")
    np.testing.assert_allclose(source.preprocessing.mean, mean, atol=1e-6)
    np.testing.assert_allclose(source.preprocessing.std, std, atol=1e-6)


def _softmax(model: ModelProto) -> None:
    node(model, "y").output[0] = "raw"
    model.graph.node.append(helper.make_node("Softmax", ["raw"], ["y"], "probabilities"))


def _foreign(model: ModelProto) -> None:
    activation = node(model, "a")
    activation.op_type, activation.domain = "FastGelu", "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def _quick_gelu(model: ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array(1.702, np.float32), "slope"))
    at = list(model.graph.node).index(node(model, "a"))
    del model.graph.node[at]
    for index, step in enumerate(
        [
            helper.make_node("Mul", ["ub", "slope"], ["scaled"]),
            helper.make_node("Sigmoid", ["scaled"], ["gate"]),
            helper.make_node("Mul", ["ub", "gate"], ["a"], "quick"),
        ]
    ):
        model.graph.node.insert(at + index, step)


def _second_input(model: ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))


def _no_residual(model: ModelProto) -> None:
    node(model, "s").input[0] = "vt"


def _strided(model: ModelProto) -> None:
    stem = node(model, "c")
    next(attribute for attribute in stem.attribute if attribute.name == "strides").ints[:] = [2, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_softmax, "Softmax 'probabilities' is an operator that no ConvNeXt has"),
        (_foreign, r"com\.microsoft\.FastGelu 'a', an operator of one runtime"),
        (_quick_gelu, "Mul 'quick' stands where an activation"),
        (_second_input, "has the inputs x, mask, and not one of images"),
        (_no_residual, "'n' stands where the other side of the residual sum Add 's' was expected"),
        (_strided, "stands where a stem of square patches"),
    ],
)
def test_what_is_not_understood_is_refused_by_its_name(
    change: Callable[[ModelProto], None], message: str, convnext: ModelProto, tmp_path: Path
) -> None:
    change(convnext)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(saved(convnext, tmp_path))


def test_options_that_contradict_the_graph_are_refused(convnext: ModelProto, tmp_path: Path) -> None:
    path = saved(convnext, tmp_path)
    assert load_checkpoint(path, Traits(activation="relu", norm_eps=1e-6, pooling="avg")).assumed == ()
    for asked, message in (
        (Traits(activation="gelu"), "has activation relu, as its graph shows, and not gelu"),
        (Traits(norm_eps=1e-5), "has norm eps 1e-06, as its graph shows, and not 1e-05"),
        (Traits(pooling="max"), "has pooling avg, as its graph shows, and not max"),
    ):
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(path, asked)


@pytest.mark.parametrize("place", ["../weights.bin", "/etc/hostname"])
def test_weights_apart_lie_in_the_folder_of_the_file(
    place: str, convnext: ModelProto, tmp_path: Path
) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(10**4))
    folder = tmp_path / "model"
    folder.mkdir()
    tensor = convnext.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    with pytest.raises(CheckpointError, match=r"cannot read .* as ONNX"):
        load_checkpoint(saved(convnext, folder))


def test_a_reference_that_differs_is_refused_by_the_first_part_that_does() -> None:
    path = FOREIGN / "timm_v1_dynamo.onnx"
    model = load_checkpoint(path).model
    with torch.no_grad():
        model.stages[2].blocks[0].pwconv2.bias.add_(0.5)
    with pytest.raises(
        CheckpointError, match=r"does not compute the same: .* differs is stages\.2\.blocks\.0 "
    ):
        read_graph(path).prove(model)


def test_an_onnx_file_is_known_by_its_content(convnext: ModelProto, tmp_path: Path) -> None:
    path = saved(convnext, tmp_path)
    renamed = path.rename(tmp_path / "model.bin")
    assert is_onnx(renamed)
    assert load_checkpoint(renamed).layout == "onnx"
    assert not any(is_onnx(path) for path in OURS)
    text = tmp_path / "model.onnx"
    text.write_text("hello")
    with pytest.raises(CheckpointError, match="neither a safetensors nor a PyTorch file"):
        load_checkpoint(text)
