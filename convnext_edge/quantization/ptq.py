"""Post-training quantization through torchao's pt2e: prepare, calibrate, convert."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from convnext_edge.errors import QuantizationError
from convnext_edge.model.graph import export_program, write_onnx
from convnext_edge.quantization.job import Job, Quantized
from convnext_edge.quantization.quantizer import (
    ActivationRange,
    ConvNeXtQuantizer,
    activation_ranges,
    weight_observers,
)
from convnext_edge.quantization.rounding import copy_weights, round_weights
from convnext_edge.quantization.smoothing import smooth
from convnext_edge.quiet import quiet

STATISTICS = 128  # images that channel scales and second moments are taken from, of all that calibrate


@dataclass(frozen=True)
class Calibrated:
    """A model with all that calibration found.

    smoothed: lowered, its channel scales evened out, otherwise the reference. rounded: the same with the
    quantized weights on their grids, of scales `weight_scales` (out,); empty where they are left to the
    converter. prepared: the graph of `rounded` with its observers. placement: as of `ConvNeXtQuantizer`.
    """

    smoothed: nn.Module
    rounded: nn.Module
    weight_scales: dict[str, Tensor]
    prepared: GraphModule
    placement: dict[str, bool]

    @property
    def ranges(self) -> dict[str, ActivationRange]:
        """Of the input of each quantized layer."""
        return activation_ranges(self.prepared)

    def on_grid(self, name: str, weight: Tensor) -> Tensor:
        """The weight of a quantized layer as the converter will round it."""
        observers = weight_observers(self.prepared)
        scale, zero_point = observers[name].calculate_qparams()
        observer = observers[name]
        limits = (observer.quant_min, observer.quant_max)
        return torch.fake_quantize_per_channel_affine(
            weight, scale, zero_point.int(), observer.ch_axis, *limits
        )

    @property
    def quantized_layers(self) -> list[str]:
        return [name for name, chosen in self.placement.items() if chosen]


def quantize_ptq(job: Job) -> Quantized:
    """Channel scales evened out, weights rounded with an eye on the output, then ranges calibrated."""
    calibrated = calibrate(job)
    with quiet():
        return placed(convert_pt2e(calibrated.prepared), calibrated.placement, job)


def calibrate(job: Job) -> Calibrated:
    """Weights prepared and all images seen; raises QuantizationError as `check_placement` does."""
    smoothed = job.lowered()
    if job.recipe.smoothing:
        batches = job.batches("smoothing", limit=STATISTICS)
        smooth(smoothed, map(torch.from_numpy, batches), job.recipe.smoothing)
    rounded, scales = smoothed, dict[str, Tensor]()
    if job.recipe.rounding != "nearest":
        rounded = deepcopy(smoothed)
        batches = job.batches("rounding", limit=STATISTICS)
        raw_bytes = job.input_type == "uint8"
        scales = round_weights(rounded, map(torch.from_numpy, batches), job.recipe, raw_bytes=raw_bytes)
    quantizer = ConvNeXtQuantizer(job.recipe, scales)
    prepared = prepare(rounded, job, quantizer)
    with torch.inference_mode():
        for images in job.batches("calibrating"):
            prepared(torch.from_numpy(images))
    return Calibrated(smoothed, rounded, scales, prepared, quantizer.placement)


def keep_float(job: Job, calibrated: Calibrated, names: list[str]) -> Quantized:
    """What `quantize_ptq` gives with the layers `names` kept float, without another calibration."""
    module = deepcopy(calibrated.rounded)
    copy_weights(calibrated.smoothed, module, names)
    recipe = replace(job.recipe, keep_float=(*job.recipe.keep_float, *names))
    quantizer = ConvNeXtQuantizer(recipe, calibrated.weight_scales, calibrated.ranges)
    prepared = prepare(module, job, quantizer)
    with torch.inference_mode():
        prepared(job.example())  # observers of weights that are not on a grid yet
    with quiet():
        return placed(convert_pt2e(prepared), quantizer.placement, job)


def prepare(module: nn.Module, job: Job, quantizer: ConvNeXtQuantizer) -> GraphModule:
    with quiet():
        prepared: GraphModule = prepare_pt2e(export_program(module, job.example()), quantizer)
    check_placement(quantizer)
    return prepared


def placed(converted: GraphModule, placement: dict[str, bool], job: Job) -> Quantized:
    """A converted graph, to be written under the names that the quantizer saw."""
    return Quantized(
        placement, lambda path: write_onnx(converted, job.example(), path, layer_names=placement)
    )


def check_placement(quantizer: ConvNeXtQuantizer) -> None:
    """Raises QuantizationError for a keep_float pattern that no layer has, and where no layer is left."""
    for pattern in quantizer.recipe.keep_float:
        if not quantizer.matches(pattern):
            raise QuantizationError(
                f"keep_float {pattern!r} matches no layer",
                hint=f"Layers are called {', '.join(list(quantizer.placement)[:4])}, …",
            )
    if not any(quantizer.placement.values()):
        raise QuantizationError("every layer is kept float: nothing to quantize", hint="Narrow --keep-float.")
