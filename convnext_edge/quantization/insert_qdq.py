"""Insert Q/DQ nodes before the chosen layers, through torchao's prepare and convert.

Scales and ranges are known by then, so that nothing is observed in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import (
    FixedQParamsQuantizationSpec,
    QuantizationAnnotation,
    QuantizationSpec,
    QuantizationSpecBase,
    Quantizer,
)

from convnext_edge.network.exporter import exporter
from convnext_edge.network.layers import Layer
from convnext_edge.network.lowering import LoweredConvNeXt
from convnext_edge.onnx_graph.tracing import export_program, write_onnx
from convnext_edge.quantization.job import Job, Quantized
from convnext_edge.quantization.observers import ActivationRange, activation_codes
from convnext_edge.quantization.recipe import Recipe

RAW_BYTES = FixedQParamsQuantizationSpec(
    dtype=torch.uint8, scale=1.0, zero_point=0, quant_min=0, quant_max=255, qscheme=torch.per_tensor_affine
)


class LayerSpecs(NamedTuple):
    """How torchao quantizes the two operands of a layer."""

    weight: QuantizationSpecBase
    input: QuantizationSpecBase | None  # None where the input stays float


class LayerQuantizer(Quantizer):  # type: ignore[misc]
    """A torchao quantizer that annotates layers of a lowered model, found by the names of their weights."""

    def __init__(self, layers: Mapping[str, Layer], specs: Mapping[str, LayerSpecs]) -> None:
        super().__init__()
        self.by_weight = {layers[name].weight_name: found for name, found in specs.items()}

    def annotate(self, model: GraphModule) -> GraphModule:
        """Annotate each layer in the graph; raises LookupError where one is missing."""
        missing = set(self.by_weight)
        for node in model.graph.nodes:
            weight = weight_of(node)
            if weight is None or weight.target not in self.by_weight:
                continue
            specs = self.by_weight[weight.target]
            operands = {weight: specs.weight} | ({node.args[0]: specs.input} if specs.input else {})
            node.meta["quantization_annotation"] = QuantizationAnnotation(
                input_qspec_map=operands, _annotated=True
            )
            missing.discard(weight.target)
        if missing:
            raise LookupError(f"the graph has no node that multiplies by {', '.join(sorted(missing))}")
        return model

    def validate(self, model: GraphModule) -> None:
        """Check nothing: `annotate` touches only the nodes that it knows."""


def weight_of(node: Node) -> Any:
    """Return the node of the parameter that `node` multiplies its input by, or None."""
    second = node.args[1] if node.op == "call_function" and len(node.args) > 1 else None
    return second if isinstance(second, Node) and second.op == "get_attr" else None


def make_specs(
    layers: Mapping[str, Layer],
    placement: Mapping[str, bool],
    recipe: Recipe,
    *,
    weight: Callable[[Layer], QuantizationSpecBase],
    activation: Callable[[Layer], QuantizationSpecBase],
) -> dict[str, LayerSpecs]:
    """Return the specs of each quantized layer, by name.

    weight: makes the spec of a layer's weight. activation: makes the spec of an input other than raw bytes.
    """

    def specs(layer: Layer) -> LayerSpecs:
        if recipe.at(layer.name).activation == "float":
            return LayerSpecs(weight(layer), None)
        return LayerSpecs(weight(layer), RAW_BYTES if layer.reads_bytes else activation(layer))

    return {name: specs(layer) for name, layer in layers.items() if placement[name]}


def weight_spec(recipe: Recipe, layer: Layer, make_observer: Any) -> QuantizationSpec:
    """Return the spec of a weight. make_observer: makes what tells its scale, or quantizes it in training."""
    return QuantizationSpec(
        dtype=torch.int8,
        quant_min=-recipe.largest_code,
        quant_max=recipe.largest_code,
        qscheme=torch.per_channel_symmetric,
        ch_axis=layer.channel_axis,
        observer_or_fake_quant_ctr=make_observer,
    )


class PerChannelKnownScaleObserver(PerChannelMinMaxObserver):  # type: ignore[misc]
    """An observer that only tells torchao the scale (O,) of a weight, which is known already.

    torchao passes the axis of the channels to classes with `PerChannel` in their names.
    """

    def __init__(self, *args: Any, scale: Tensor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("scale", scale)

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Return the scale, and zero points of zero."""
        return self.scale, torch.zeros_like(self.scale, dtype=torch.int64)


def known_specs(
    layers: Mapping[str, Layer],
    placement: Mapping[str, bool],
    recipe: Recipe,
    scales: Mapping[str, Tensor],
    ranges: Mapping[str, ActivationRange],
) -> dict[str, LayerSpecs]:
    """Return the specs of each quantized layer with its weight scale (O,) and input range, by name."""

    def weight(layer: Layer) -> QuantizationSpec:
        return weight_spec(recipe, layer, PerChannelKnownScaleObserver.with_args(scale=scales[layer.name]))

    def activation(layer: Layer) -> FixedQParamsQuantizationSpec:
        codes = activation_codes(recipe.at(layer.name))
        return FixedQParamsQuantizationSpec(**codes, **ranges[layer.name]._asdict())

    return make_specs(layers, placement, recipe, weight=weight, activation=activation)


def insert_qdq(model: LoweredConvNeXt, specs: Mapping[str, LayerSpecs], example: Tensor) -> GraphModule:
    """Return the graph of `model` with Q/DQ where `specs` has them. example: an input (N, 3, H, W).

    The graph takes N images; an ONNX file that it is written to takes any number.
    """
    with exporter():
        graph = export_program(model, example, any_batch=False)
        prepared = prepare_pt2e(graph, LayerQuantizer(model.layers(), specs))
        converted: GraphModule = convert_pt2e(prepared)
    return converted


def as_quantized(converted: GraphModule, placement: dict[str, bool], job: Job) -> Quantized:
    """Return a converted graph as the result of `job`, to be written with the layers' names."""
    return Quantized(
        placement,
        lambda path: write_onnx(converted, job.example(), path, job.graph(placement)),
    )
