"""Exact rewrites of a ConvNeXt into the form that a runtime runs fastest.

Three foldings hold in every lowered form, all free of loss (differences about 1e-7 relative):

* the layer scale (gamma), and GRN's bias, fold into the second pointwise layer;
* the affine part of LayerNorm folds into the layer behind it, so what is quantized is the normalized
  value, whatever share of the scale a checkpoint keeps in the norm (the stem's norm feeds the residual
  path as well and keeps its own);
* with a `uint8` input, x / 255, mean and std fold into the stem, which has no padding.

What the folded layers are written as is the business of a form (`forms.py`); `plain` is no lowering at
all but the reference as it stands, for any runtime to read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import cast

from torch import Tensor, nn

from convnext_edge.artifacts.artifact import Form
from convnext_edge.images.preprocessing import InputType, Preprocessing
from convnext_edge.network.conv_form import ConvLayerFactory, QuantizedConvLayerFactory
from convnext_edge.network.convnext import ConvNeXt, Outputs, OverlapStem, Stage
from convnext_edge.network.forms import LayerFactory, MatMul
from convnext_edge.network.layers import Layer, LayerKind, find_multiplication
from convnext_edge.network.linear_form import (
    DynamicLinearLayerFactory,
    LinearLayerFactory,
    QuantizedLinearLayerFactory,
)
from convnext_edge.network.lowered_decoder import FoldedUPerNet
from convnext_edge.network.lowered_detector import LoweredMaskRCNN, fold_norms
from convnext_edge.network.lowered_parts import (
    LoweredBlock,
    LoweredDownsample,
    LoweredHead,
    LoweredMap,
    LoweredOverlapStem,
    LoweredStage,
    LoweredStem,
    Normalized,
)
from convnext_edge.network.mask_rcnn import MaskRCNN
from convnext_edge.network.rows_form import RowsLayerFactory
from convnext_edge.network.tiled_form import TiledLayerFactory
from convnext_edge.network.upernet import UPerNet, size_of

LAYER_FACTORIES: dict[str, LayerFactory] = {
    "conv": ConvLayerFactory(),
    "linear": LinearLayerFactory(),
    "rows": RowsLayerFactory(),
    "tiled": TiledLayerFactory(),
}
# those for models that will be quantized, where they differ
QUANTIZED_FACTORIES: dict[str, LayerFactory] = {
    "conv": QuantizedConvLayerFactory(),
    "linear": QuantizedLinearLayerFactory(),
}
# those that hold nothing that depends on the size of the image, where the usual ones do
DYNAMIC_FACTORIES = dict.fromkeys(("linear", "rows", "tiled"), DynamicLinearLayerFactory())


def lower(
    model: ConvNeXt,
    form: Form,
    *,
    preprocessing: Preprocessing,
    input_type: InputType = "float32",
    dynamic_size: bool = False,
    will_quantize: bool = False,
) -> nn.Module:
    """Return the same function as `model` in another form, in eval mode; `model` is left as it is.

    Takes (N, channels, H, W): float32 normalized as `preprocessing` says, or raw bytes where `input_type`
    is "uint8". dynamic_size: whether the graph may hold nothing that depends on H and W. will_quantize:
    whether it may be off by less than a step of 8 bits, for speed.
    """
    lowered: nn.Module
    if form == "plain":
        lowered = Plain(model, preprocessing, input_type)
    else:
        usual = LAYER_FACTORIES[form]
        usual = QUANTIZED_FACTORIES.get(form, usual) if will_quantize else usual
        factory = DYNAMIC_FACTORIES.get(form, usual) if dynamic_size else usual
        lowered = LoweredConvNeXt(model, factory, preprocessing, input_type)
    return lowered.eval().requires_grad_(False)


class Plain(nn.Module):
    """The reference as it is, behind the image normalization where the input is raw bytes."""

    def __init__(self, model: ConvNeXt, preprocessing: Preprocessing, input_type: InputType) -> None:
        super().__init__()
        self.normalized = Normalized(preprocessing) if input_type == "uint8" else nn.Identity()
        self.model = deepcopy(model)
        if model.architecture.decoder == "upernet":
            self.model.decoder = FoldedUPerNet(model.architecture, cast(UPerNet, model.decoder))
        elif model.architecture.decoder:
            fold_norms(cast(MaskRCNN, self.model.decoder))

    def forward(self, x: Tensor) -> Outputs:
        outputs: Outputs = self.model(self.normalized(x))
        return outputs


@dataclass(frozen=True)
class Part:
    """A function of the chain that a lowered model is, and the layers with weights that it runs."""

    run: Callable[[Tensor], Tensor]
    layers: tuple[Layer, ...]
    output: Callable[[Tensor], Tensor] | None = None  # makes an output of the model from what `run` returns


class LoweredConvNeXt(nn.Module):
    """A ConvNeXt with every folding done, in the layers of a form."""

    def __init__(
        self, model: ConvNeXt, factory: LayerFactory, preprocessing: Preprocessing, input_type: InputType
    ) -> None:
        super().__init__()
        architecture, stem = model.architecture, model.stem
        self.int8_convolutions = factory.int8_convolutions
        self.stem = (
            LoweredOverlapStem(stem, factory, preprocessing, input_type)
            if isinstance(stem, OverlapStem)
            else LoweredStem(model, factory, preprocessing, input_type)
        )
        stages = cast(Iterable[Stage], model.stages)
        self.stages = nn.Sequential(*(LoweredStage(stage, factory) for stage in stages))
        self.maps = nn.ModuleDict({str(i): LoweredMap(model, i, factory) for i in architecture.maps})
        self.head = LoweredHead(model, factory) if architecture.pooled else None
        self.decoder: FoldedUPerNet | LoweredMaskRCNN | None = None
        if architecture.decoder == "mask_rcnn":
            self.decoder = LoweredMaskRCNN(architecture, cast(MaskRCNN, model.decoder), factory)
        elif architecture.decoder:
            decoder = cast(UPerNet, model.decoder)
            self.decoder = FoldedUPerNet(architecture, decoder, preprocessing.size, factory)

    def forward(self, x: Tensor) -> Outputs:
        maps, size = [], size_of(x)
        x = self.stem(x)
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if str(index) in self.maps:
                maps.append(self.maps[str(index)](x))
        if self.decoder is not None:
            return self.decoder(maps, size)  # type: ignore[no-any-return]
        outputs = (*maps,) if self.head is None else (self.head(x), *maps)
        return outputs[0] if len(outputs) == 1 else outputs

    def layers(self) -> dict[str, Layer]:
        """Return the layers with weights by name, in the order in which they run."""
        of_parts = (layer for part in self.parts() for layer in part.layers)
        return {layer.name: layer for layer in (*of_parts, *self.decoder_layers())}

    def decoder_layers(self) -> list[Layer]:
        """Return the layers of the decoder in the order in which they run; none where there is none."""
        if self.decoder is None:
            return []
        make, pieces = self._layer_maker(), self.decoder.pieces_for
        found = (make(f"decoder.{name}", "decoder", module) for name, module in self.decoder.layers())
        return [replace(layer, pieces=pieces(layer.name.removeprefix("decoder."))) for layer in found]

    def _layer_maker(self) -> Callable[[str, LayerKind, nn.Module], Layer]:
        paths = {module: path for path, module in self.named_modules()}

        def layer(name: str, kind: LayerKind, module: nn.Module) -> Layer:
            multiplication = find_multiplication(module)
            return Layer(
                name,
                kind,
                multiplication,
                weight_name=f"{paths[multiplication]}.weight",
                reads_bytes=kind == "stem" and self.stem.reads_bytes,
                has_int8_kernel=self.int8_convolutions or isinstance(multiplication, MatMul),
            )

        return layer

    def parts(self) -> list[Part]:
        """Return the functions that make up the model but for its decoder, in the order in which they run."""
        layer = self._layer_maker()
        stem = [layer("stem", "stem", self.stem.conv)]
        if isinstance(self.stem, LoweredOverlapStem):
            stem.append(layer("stem.conv2", "downsample", self.stem.conv2))
        found = [Part(self.stem, tuple(stem))]
        for number, stage in enumerate(cast(Iterable[LoweredStage], self.stages)):
            name = f"stages.{number}"
            if isinstance(down := stage.downsample, LoweredDownsample):
                found.append(Part(down, (layer(f"{name}.downsample.conv", "downsample", down.conv),)))
            found += [
                Part(
                    block,
                    tuple(
                        layer(f"{name}.blocks.{index}.{part}", kind, module)
                        for part, kind, module in block.layers()
                    ),
                )
                for index, block in enumerate(cast(Iterable[LoweredBlock], stage.blocks))
            ]
            if str(number) in self.maps:
                found[-1] = replace(found[-1], output=self.maps[str(number)])
        if self.head is not None:
            head = self.head
            layers = (("hidden", head.hidden), ("head", head.head))
            held = tuple(layer(name, "head", module) for name, module in layers if module is not None)
            found.append(Part(head, held, output=nn.Identity()))
        return found
