"""Where Q/DQ goes: a torchao `Quantizer` over a lowered ConvNeXt.

Quantized are the inputs and weights of the matrix multiplications (pointwise, downsampling and head
layers, and the stem where its input is raw bytes). LayerNorm, GELU, GRN, residual sums and biases stay
float: quantizing them buys no speed and costs accuracy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import HistogramObserver, MinMaxObserver, PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantizer import (
    FixedQParamsQuantizationSpec,
    QuantizationAnnotation,
    QuantizationSpec,
    QuantizationSpecBase,
    Quantizer,
)

from convnext_edge.quantization.observers import (
    SMALLEST_SCALE,
    KnownScaleObserver,
    MSEObserver,
    NonSaturatingWeightObserver,
    PercentileObserver,
    RoomyObserver,
)
from convnext_edge.quantization.recipe import ACTIVATION_BITS, Recipe, matches

CONV = torch.ops.aten.conv2d.default
MATMUL = torch.ops.aten.matmul.default
RAW_BYTES = FixedQParamsQuantizationSpec(
    dtype=torch.uint8, scale=1.0, zero_point=0, quant_min=0, quant_max=255, qscheme=torch.per_tensor_affine
)


@dataclass(frozen=True)
class Layer:
    """One multiplication of the graph. channel_axis, input_axis: of its weight."""

    name: str
    node: Node
    channel_axis: int
    input_axis: int
    depthwise: bool

    @property
    def activation(self) -> Node:
        return _node(self.node.args[0])

    @property
    def weight(self) -> Node:
        return _node(self.node.args[1])


def layers(graph: GraphModule) -> Iterator[Layer]:
    """The convolutions and multiplications by a weight of an exported lowered model, in order.

    Names are those of the reference's layers, as `stages.0.blocks.1.pwconv1`.
    """
    for node in graph.graph.nodes:
        if node.target is CONV:
            groups = node.args[6] if len(node.args) > 6 else 1
            yield Layer(layer_name(node), node, channel_axis=0, input_axis=1, depthwise=groups > 1)
        elif node.target is MATMUL and _node(node.args[1]).op == "get_attr":
            yield Layer(layer_name(node), node, channel_axis=1, input_axis=0, depthwise=False)


def layer_name(node: Node) -> str:
    return reference_name([path for path, _ in node.meta["nn_module_stack"].values()][-1])


def reference_name(path: str) -> str:
    """Name of the reference's layer: the path in a lowered model without what a form adds inside a layer."""
    parts = [part for part in path.split(".") if part not in ("layer", "matmul", "patches")]
    if len(parts) > 1 and parts[-1] == "conv" and parts[-2] == "dwconv":
        parts.pop()
    return ".".join(parts)


class ActivationRange(NamedTuple):
    """x is stored as round(x / scale) + zero_point."""

    scale: float
    zero_point: int


class ConvNeXtQuantizer(Quantizer):  # type: ignore[misc]
    """Annotates the layers that `recipe` quantizes.

    weight_scales: of layers whose weights are on a grid already, by name; the others' come from their
    weights. ranges: of inputs that are known already; the others' come from calibration.
    After `annotate`, `placement` says of each layer, in the graph's order, whether it is quantized.
    """

    def __init__(
        self,
        recipe: Recipe,
        weight_scales: dict[str, Tensor] | None = None,
        ranges: dict[str, ActivationRange] | None = None,
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.weight_scales = weight_scales or {}
        self.ranges = ranges or {}
        self.placement: dict[str, bool] = {}

    def annotate(self, model: GraphModule) -> GraphModule:
        found = list(layers(model))
        self.placement = {
            layer.name: is_quantized(
                self.recipe, layer.name, depthwise=layer.depthwise, raw_bytes=reads_raw_bytes(layer)
            )
            for layer in found
        }
        for layer in found:
            if self.placement[layer.name]:
                self._annotate(layer)
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing to check: `annotate` touches only operators it knows."""

    def _annotate(self, layer: Layer) -> None:
        specs = {layer.weight: self.weight_spec(layer)}
        if self.recipe.at(layer.name).activation != "float":
            raw_bytes = reads_raw_bytes(layer)
            specs[layer.activation] = RAW_BYTES if raw_bytes else self.activation_spec(layer)
        layer.node.meta["quantization_annotation"] = QuantizationAnnotation(
            input_qspec_map=specs, _annotated=True
        )

    def activation_spec(self, layer: Layer) -> QuantizationSpecBase:
        """How the input of a layer is quantized."""
        known, recipe = self.ranges.get(layer.name), self.recipe.at(layer.name)
        return activation_spec(recipe) if known is None else known_activation_spec(recipe, known)

    def weight_spec(self, layer: Layer) -> QuantizationSpecBase:
        """How the weight of a layer is quantized."""
        observer = weight_observer(self.recipe, layer, self.weight_scales.get(layer.name))
        return weight_spec(self.recipe, layer, observer)


def is_quantized(recipe: Recipe, name: str, *, depthwise: bool, raw_bytes: bool) -> bool:
    """Whether a recipe quantizes a layer. raw_bytes: it reads the uint8 image."""
    if matches(name, recipe.keep_float):
        return False
    if depthwise:
        return recipe.depthwise
    # bytes are codes without a sign: a stem that reads them is INT8 only where activations are unsigned
    return name != "stem" or (raw_bytes and recipe.activation in ("uint8", "uint16"))


def reads_raw_bytes(layer: Layer) -> bool:
    """Whether the layer's input is the uint8 image, perhaps after a change of layout."""
    node = layer.activation
    while node.op == "call_function" and node.all_input_nodes:
        value = node.all_input_nodes[0].meta.get("val")
        if value is not None and value.dtype == torch.uint8:
            return True
        if node.target not in LAYOUT_ONLY:
            return False
        node = node.all_input_nodes[0]
    return False


LAYOUT_ONLY = {torch.ops.aten.permute.default, torch.ops.aten.reshape.default, torch.ops.aten.view.default}


def activation_spec(recipe: Recipe) -> QuantizationSpec:
    return QuantizationSpec(
        **activation_codes(recipe), observer_or_fake_quant_ctr=activation_observer(recipe)
    )


def activation_observer(recipe: Recipe) -> Any:
    """Makes what turns the values of an activation into its range; of one that stays float, nothing."""
    if recipe.activation == "float":
        return nn.Identity
    arguments: dict[str, Any] = {"eps": 2**-20}
    observer = ACTIVATION_OBSERVERS[recipe.range]
    if ACTIVATION_BITS[recipe.activation] == 16:
        observer, arguments = RoomyObserver, {"eps": 2**-28}
    elif recipe.range == "percentile":
        arguments["outside"] = recipe.outside
    return observer.with_args(**activation_codes(recipe), **arguments)


def known_activation_spec(recipe: Recipe, known: ActivationRange) -> FixedQParamsQuantizationSpec:
    return FixedQParamsQuantizationSpec(**activation_codes(recipe), **known._asdict())


def activation_codes(recipe: Recipe) -> dict[str, Any]:
    dtype: torch.dtype = getattr(torch, recipe.activation)
    return {
        "dtype": dtype,
        "quant_min": torch.iinfo(dtype).min,
        "quant_max": torch.iinfo(dtype).max,
        "qscheme": torch.per_tensor_symmetric if dtype.is_signed else torch.per_tensor_affine,
    }


def weight_observers(prepared: GraphModule) -> dict[str, Any]:
    """What observes the weight of each quantized layer of a prepared graph."""
    found = {}
    for node in prepared.graph.nodes:
        if node.target in (CONV, MATMUL) and _node(node.args[1]).op == "call_module":
            found[layer_name(node)] = prepared.get_submodule(str(_node(node.args[1]).target))
    return found


ACTIVATION_OBSERVERS: dict[str, Any] = {
    "histogram": HistogramObserver,
    "minmax": MinMaxObserver,
    "percentile": PercentileObserver,
    "mse": MSEObserver,
}


def weight_spec(recipe: Recipe, layer: Layer, observer: Any) -> QuantizationSpec:
    """observer: makes what observes the weight, or stands in for its quantization."""
    return QuantizationSpec(
        dtype=torch.int8,
        quant_min=-recipe.largest_code,
        quant_max=recipe.largest_code,
        qscheme=torch.per_channel_symmetric,
        ch_axis=layer.channel_axis,
        observer_or_fake_quant_ctr=observer,
    )


def weight_observer(recipe: Recipe, layer: Layer, known_scale: Tensor | None) -> Any:
    if known_scale is not None:
        return KnownScaleObserver.with_args(ch_axis=layer.channel_axis, scale=known_scale)
    # a depthwise kernel adds no neighbouring channels
    if recipe.avoids_saturation and not layer.depthwise:
        return NonSaturatingWeightObserver.with_args(
            ch_axis=layer.channel_axis, pair_axis=layer.input_axis, eps=SMALLEST_SCALE
        )
    return PerChannelMinMaxObserver.with_args(ch_axis=layer.channel_axis, eps=SMALLEST_SCALE)


def _node(value: Any) -> Node:
    assert isinstance(value, Node)
    return value
