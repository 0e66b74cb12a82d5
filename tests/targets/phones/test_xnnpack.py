"""Depthwise convolutions in pieces: the answers of PyTorch's own, and only where it helps."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch.nn import functional as F

from convnext_edge.targets.phones.xnnpack import LARGEST, pieces, split_depthwise

CHANNELS, EDGE = 3, 7


def convolution(edge: int = EDGE, *, group: int = CHANNELS, **attributes: object) -> ModelProto:
    """A model with one convolution of (N, 3, 9, 8), with a bias."""
    generator = np.random.default_rng(edge)
    weight = generator.standard_normal((CHANNELS, CHANNELS // group, edge, edge)).astype(np.float32)
    bias = generator.standard_normal(CHANNELS).astype(np.float32)
    node = helper.make_node(
        "Conv", ["x", "w", "b"], ["y"], name="dw", group=group, **{"pads": [edge // 2] * 4, **attributes}
    )
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", CHANNELS, 9, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", CHANNELS, "H", "W"])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_the_sum_of_the_pieces_is_the_convolution() -> None:
    model = convolution()
    weight, bias = (torch.tensor(numpy_helper.to_array(made)) for made in model.graph.initializer)
    split_depthwise(model)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Conv", "Conv", "Add", "Conv", "Add"]
    kernels = [made.dims for made in model.graph.initializer if len(made.dims) == 4]
    assert max(rows * columns for *_, rows, columns in kernels) <= LARGEST
    images = torch.randn(2, CHANNELS, 9, 8, generator=torch.Generator().manual_seed(0))
    (found,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": images.numpy()})
    expected = F.conv2d(images, weight, bias, padding=EDGE // 2, groups=CHANNELS)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-4)


def test_each_row_of_a_kernel_is_in_one_piece() -> None:
    assert pieces(7) == [([0, 3, 6], 3), ([1, 5], 4), ([2, 4], 2)]


@pytest.mark.parametrize(
    "kept",
    [
        convolution(5),  # 25 values are no more than a kernel has
        convolution(9),  # three of whose rows are too many
        convolution(group=1),
        convolution(pads=[0, 0, 0, 0]),
        convolution(strides=[2, 2]),
        convolution(dilations=[2, 2], pads=[6, 6, 6, 6]),
    ],
)
def test_other_convolutions_stay_as_they_are(kept: ModelProto) -> None:
    before = kept.SerializeToString()
    split_depthwise(kept)
    assert kept.SerializeToString() == before
