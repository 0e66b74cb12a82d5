"""Q/DQ goes to the layers that were chosen, and a layer that is not in the graph is told of."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Form
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network.convnext import ConvNeXt
from convnext_edge.network.layers import Layer
from convnext_edge.network.lowering import LoweredConvNeXt, lower
from convnext_edge.onnx_graph.tracing import example_input, export_program
from convnext_edge.quantization.insert_qdq import LayerQuantizer, known_specs
from convnext_edge.quantization.observers import ActivationRange
from convnext_edge.quantization.recipe import Recipe

RANGE = ActivationRange(0.1, 100)


def model(form: Form) -> LoweredConvNeXt:
    reference = ConvNeXt(Architecture((1, 1), (8, 16), classes=5)).eval()
    lowered = lower(reference, form, preprocessing=Preprocessing(resolution=32))
    assert isinstance(lowered, LoweredConvNeXt)
    return lowered


def quantizer(layers: dict[str, Layer], chosen: set[str]) -> LayerQuantizer:
    placement = {name: name in chosen for name in layers}
    scales = {name: torch.ones(len(layer.weight)) for name, layer in layers.items()}
    specs = known_specs(layers, placement, Recipe(), scales, dict.fromkeys(layers, RANGE))
    return LayerQuantizer(layers, specs)


@pytest.mark.parametrize("form", ["conv", "linear"])
def test_only_the_chosen_layers_are_annotated(form: Form) -> None:
    module = model(form)
    graph = export_program(module, example_input((3, 32, 32), "float32"))
    chosen = {"stages.0.blocks.0.pwconv2", "stages.1.downsample.conv", "stages.1.blocks.0.dwconv"}
    quantizer(module.layers(), chosen).annotate(graph)
    found = [node for node in graph.graph.nodes if "quantization_annotation" in node.meta]
    weights = {module.layers()[name].weight_name for name in chosen}
    assert {str(node.args[1].target) for node in found} == weights
    for node in found:
        assert list(node.meta["quantization_annotation"].input_qspec_map) == [node.args[1], node.args[0]]


def test_a_layer_that_the_graph_does_not_have_is_an_error() -> None:
    module = model("conv")
    graph = export_program(module, example_input((3, 32, 32), "float32"))
    layers = module.layers() | {
        "gone": replace(module.layers()["head"], name="gone", weight_name="gone.weight")
    }
    with pytest.raises(LookupError, match=r"multiplies by gone\.weight"):
        quantizer(layers, {"head", "gone"}).annotate(graph)
