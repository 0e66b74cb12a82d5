"""NNCF's `quantize_pt2e` over our placement: SmoothQuant and fast bias correction.

Of NNCF come the weights as these two left them, and the ranges of the activations. Scales of weights are
those of the recipe: NNCF's own are the largest weight by 127, with which most output channels hold pairs
that saturate on CPUs without VNNI, and it has no say in the number of bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch.fx import GraphModule
from torchao.quantization.pt2e import PlaceholderObserver
from torchao.quantization.pt2e.constant_fold import constant_fold
from torchao.quantization.pt2e.quantizer import QuantizationSpec

from convnext_edge.errors import TargetError
from convnext_edge.network.exporter import exporter
from convnext_edge.network.layers import Layer
from convnext_edge.onnx_graph.tracing import export_program
from convnext_edge.quantization.insert_qdq import (
    LayerQuantizer,
    LayerSpecs,
    as_quantized,
    make_specs,
    weight_spec,
)
from convnext_edge.quantization.job import Job, Quantized
from convnext_edge.quantization.observers import activation_codes
from convnext_edge.quantization.placement import choose_placement
from convnext_edge.quantization.ptq import lowered
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.quantization.scales import weight_scale
from convnext_edge.quiet import importing

QUANTIZE_WEIGHT = torch.ops.quantized_decomposed.quantize_per_channel.default


def quantize_nncf(job: Job) -> Quantized:
    """Quantize with NNCF, in the places that the recipe chooses.

    Raises TargetError where NNCF is not installed, and QuantizationError as `choose_placement` does.
    """
    try:
        with importing("nncf"):
            import nncf
            from nncf.experimental.torch.fx import quantize_pt2e
    except ImportError as error:
        raise TargetError(
            "method nncf needs the package nncf", hint="pip install 'convnext-edge[nncf]'"
        ) from error
    # NNCF has no fixed scale, which a stem that reads raw bytes would need
    kept = (*job.recipe.keep_float, *(["stem"] if job.input_type == "uint8" else []))
    recipe, model = replace(job.recipe, keep_float=kept), lowered(job)
    layers = model.layers()
    placement = choose_placement(layers.values(), recipe)
    quantizer = LayerQuantizer(layers, open_specs(layers, placement, recipe))
    images = [torch.from_numpy(batch) for batch in job.batches("calibrating", size=1)]
    with exporter():
        converted = quantize_pt2e(
            export_program(model, job.example()),
            quantizer,
            calibration_dataset=nncf.Dataset(images),
            subset_size=len(images),
            smooth_quant=True,
            fast_bias_correction=True,
            fold_quantize=False,  # weights stay float until they have our scales
        )
        rescale(converted, layers, recipe)
    return as_quantized(converted, placement, job)


def open_specs(
    layers: Mapping[str, Layer], placement: Mapping[str, bool], recipe: Recipe
) -> dict[str, LayerSpecs]:
    """Return the specs of each quantized layer with its types alone: scales and ranges are left to NNCF."""

    def activation(layer: Layer) -> QuantizationSpec:
        codes = activation_codes(recipe.at(layer.name))
        return QuantizationSpec(**codes, observer_or_fake_quant_ctr=PlaceholderObserver)

    def weight(layer: Layer) -> QuantizationSpec:
        return weight_spec(recipe, layer, PlaceholderObserver)

    return make_specs(layers, placement, recipe, weight=weight, activation=activation)


def rescale(converted: GraphModule, layers: Mapping[str, Layer], recipe: Recipe) -> None:
    """Round each weight of NNCF's graph, in place, to the scale that the recipe asks for."""
    by_weight = {layer.weight_name: layer for layer in layers.values()}
    for node in converted.graph.find_nodes(op="call_function", target=QUANTIZE_WEIGHT):
        weight, scale = (str(operand.target) for operand in node.args[:2])
        layer = by_weight[weight]
        smoothed = tensor(converted, weight).movedim(layer.channel_axis, 0)
        tensor(converted, scale).copy_(weight_scale(smoothed, recipe, depthwise=layer.depthwise))
    constant_fold(converted, lambda node: node.target is QUANTIZE_WEIGHT)


def tensor(module: GraphModule, path: str) -> Any:
    """Return the parameter or buffer at a path, without its gradient."""
    owner, _, name = path.rpartition(".")
    return getattr(module.get_submodule(owner), name).detach()
