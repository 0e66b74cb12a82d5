"""The simulation of a whole model's ONNX graph in PyTorch, held against ONNX Runtime as it is written."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from support.answers import sqnr
from support.simulated import Array, in_onnxruntime, in_simulation
from torch import nn
from torch.export import Dim
from torch.fx import GraphModule

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Form
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network.convnext import GRN, ConvNeXt
from convnext_edge.network.lowering import LoweredConvNeXt, lower
from convnext_edge.onnx_graph.tracing import Graph, write_onnx
from convnext_edge.quantization.calibrate import calibrate
from convnext_edge.quantization.insert_qdq import insert_qdq, known_specs
from convnext_edge.quantization.placement import choose_placement
from convnext_edge.quantization.ptq import choose_ranges
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.quantization.round_weights import round_weights
from convnext_edge.targets.simulation.graph import to_torch

pytestmark = pytest.mark.slow(seconds=40)

RESOLUTION = 64


def images(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    shape = (count, 3, RESOLUTION, RESOLUTION)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def model(*, grn: bool) -> ConvNeXt:
    torch.manual_seed(0)
    model = ConvNeXt(Architecture((1, 2), (16, 24), classes=10, grn=grn, layer_scale=not grn)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):
            nn.init.constant_(parameter, 0.5)
    for module in model.modules():
        if isinstance(module, GRN):
            nn.init.normal_(module.weight)
    return model


def lowered(form: Form, *, grn: bool) -> nn.Module:
    return lower(
        model(grn=grn),
        form,
        preprocessing=Preprocessing(resolution=RESOLUTION),
        input_type="uint8",
    )


def quantized(module: nn.Module) -> nn.Module:
    assert isinstance(module, LoweredConvNeXt)
    recipe, layers = Recipe(rounding="nearest"), module.layers()
    placement = choose_placement(layers.values(), recipe)
    statistics = calibrate(module, [images(4)], recipe, placement, images=4)
    _, scales = round_weights(module, statistics, recipe)
    specs = known_specs(layers, placement, recipe, scales, choose_ranges(recipe, statistics))
    return insert_qdq(module, specs, images(2))


def save(module: nn.Module, path: Path) -> Path:
    write_onnx(module, images(2), path, Graph(["logits"]))
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
    assert len(weights) == 1 + 1 + 2 * 3 + 1  # stem, downsampling layer, pointwise layers, head


def test_input_keeps_its_name(exported: Exported) -> None:
    assert list(inspect.signature(exported.simulation.forward).parameters) == ["image"]
