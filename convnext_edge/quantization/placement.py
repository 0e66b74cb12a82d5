"""Which layers are quantized: the placement, a dictionary from each layer's name to whether it is.

Quantized are the inputs and weights of the matrix multiplications (pointwise, downsampling and head
layers, and the stem where its input is raw bytes). LayerNorm, GELU, GRN, residual sums and biases stay
float: quantizing them buys no speed and costs accuracy. So does a convolution of the backbone that overlaps
or is dilated in ONNX Runtime, which has none of INT8 that gives floats (decoders multiply matrices there);
and so do the layers whose answers choose boxes.
"""

from __future__ import annotations

from collections.abc import Iterable

from convnext_edge.errors import QuantizationError
from convnext_edge.network.layers import Layer
from convnext_edge.quantization.recipe import Recipe, matches

HEAD = "head"
# A little noise in what these tell chooses other boxes; they are a thousandth of Mask R-CNN-T's products.
CHOOSING = ("decoder.rpn.objectness*",)


def choose_placement(layers: Iterable[Layer], recipe: Recipe) -> dict[str, bool]:
    """Return, by the name of each layer, whether `recipe` quantizes it; the order stays.

    Raises QuantizationError for a pattern of the recipe that no layer has, and where no layer is left.
    """
    placement = {layer.name: is_quantized(layer, recipe) for layer in layers}
    for key in ("keep_float", "sixteen_bit", "weights_only"):
        for pattern in getattr(recipe, key):
            of_targets = key != "sixteen_bit" and pattern == HEAD  # which a backbone lacks
            if not of_targets and not any(matches(name, [pattern]) for name in placement):
                raise QuantizationError(
                    f"{key} {pattern!r} matches no layer",
                    hint=f"Layers are called {', '.join(list(placement)[:4])}, …",
                )
    if not any(placement.values()):
        raise QuantizationError("every layer is kept float: nothing to quantize", hint="Narrow --keep-float.")
    return placement


def is_quantized(layer: Layer, recipe: Recipe) -> bool:
    """Return whether `recipe` quantizes the weight of `layer`, and its input unless that stays float."""
    if matches(layer.name, (*recipe.keep_float, *CHOOSING)):
        return False
    if layer.depthwise:
        return recipe.depthwise
    if not (layer.has_int8_kernel or recipe.convolutions):
        return False
    # bytes are codes without a sign: a stem that reads them is INT8 only where activations are unsigned
    return layer.kind != "stem" or (layer.reads_bytes and recipe.activation in ("uint8", "uint16"))
