"""Depthwise convolutions over strips, and norms of rows: the forms for ARM64."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional as F

from convnext_edge.network.norms import Norm
from convnext_edge.network.rows_form import RowConvolution, RowNorm, RowsLayerFactory
from convnext_edge.network.tiled_form import COLUMNS, TiledConvolution, TiledLayerFactory, strips
from convnext_edge.onnx_graph.tracing import Graph, write_onnx

FACTORY = TiledLayerFactory()


def depthwise(channels: int = 6, edge: int = 7, **options: int) -> nn.Conv2d:
    torch.manual_seed(0)
    settings = {"padding": edge // 2, "groups": channels, **options}
    return nn.Conv2d(channels, channels, edge, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("edge", [3, 5, 7, 9])
@pytest.mark.parametrize(("height", "width"), [(7, 7), (14, 9), (3, 5), (1, 1), (5, 16)])
def test_strips_give_what_the_convolution_gives(edge: int, height: int, width: int) -> None:
    conv = depthwise(edge=edge)
    x = torch.randn(2, height, width, 6)
    wanted = F.conv2d(x.permute(0, 3, 1, 2), conv.weight, conv.bias, padding=edge // 2, groups=6)
    tiled = FACTORY.convolution(conv)
    assert isinstance(tiled, TiledConvolution)
    with torch.inference_mode():
        torch.testing.assert_close(tiled(x), wanted.permute(0, 2, 3, 1), rtol=1e-5, atol=1e-5)


def test_the_strips_of_a_small_map_are_those_drawn_by_hand() -> None:
    # two rows of five pixels, a kernel of 3: two strips of 4 columns and a neighbour on each side; 10 is zero
    picked, kept = strips(2, 5, 3)
    assert COLUMNS == 4
    assert picked.tolist() == [
        [10, 10, 10, 10, 10, 10],
        [10, 0, 1, 2, 3, 4],
        [10, 5, 6, 7, 8, 9],
        [10, 10, 10, 10, 10, 10],
        [3, 4, 10, 10, 10, 10],
        [8, 9, 10, 10, 10, 10],
        [10, 10, 10, 10, 10, 10],
    ]
    # the kernel fits into 5 rows: those of the first strip are 0 and 1, of the second 3 and 4
    assert kept.tolist() == [0, 5, 10, 15, 3, 1, 6, 11, 16, 4]


@pytest.mark.parametrize(
    "conv",
    [
        depthwise(stride=2),
        depthwise(dilation=2, padding=6),
        depthwise(padding=2),
        depthwise(edge=4),
        depthwise(groups=3),
        depthwise(bias=False),
    ],
    ids=["stride", "dilation", "padding", "even kernel", "groups", "no bias"],
)
def test_another_convolution_stays_as_it_is(conv: nn.Conv2d) -> None:
    kept = FACTORY.convolution(conv)
    assert isinstance(kept, RowConvolution)
    x = torch.randn(1, 12, 12, 6)
    with torch.inference_mode():
        wanted = conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        torch.testing.assert_close(kept(x), wanted, rtol=1e-5, atol=1e-5)


def test_the_kernel_is_as_wide_as_the_strips_so_that_onnxruntime_copies_no_windows(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_onnx(FACTORY.convolution(depthwise()).eval(), torch.randn(2, 8, 8, 6), path, Graph(["y"]))
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    (conv,) = (node for node in model.graph.node if node.op_type == "Conv")
    shapes = {value.name: value.type.tensor_type.shape.dim for value in model.graph.value_info}
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    kernel = weights[conv.input[1]].shape
    assert kernel == (6 * COLUMNS, 1, 7, 7 + COLUMNS - 1)
    assert shapes[conv.input[0]][3].dim_value == kernel[3]
    attributes = {a.name: list(a.ints) for a in conv.attribute if a.ints}
    assert set(attributes.get("pads", [0])) == {0}
    assert set(attributes.get("strides", [1])) == {1}


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(2, 5, 3, 8), (2, 8)])
def test_a_norm_of_rows_is_layer_norm(shape: tuple[int, ...], affine: bool) -> None:
    norm = Norm(8)
    nn.init.normal_(norm.weight)
    assert norm.bias is not None
    nn.init.normal_(norm.bias)
    made = RowsLayerFactory().norm(norm, affine=affine)
    assert isinstance(made, RowNorm)
    factor = torch.rand(8) + 0.5
    made.rescale(factor)
    x = torch.randn(shape)
    weight = factor * norm.weight if affine else factor
    wanted = F.layer_norm(x, (8,), weight, norm.bias if affine else None, norm.eps)
    torch.testing.assert_close(made(x), wanted, rtol=1e-5, atol=1e-5)
