"""Post-training quantization through torchao's pt2e: prepare, calibrate, convert."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import GraphModule
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from convnext_edge.errors import QuantizationError
from convnext_edge.onnx_graph.tracing import export_program, write_onnx
from convnext_edge.quantization.calibrate import InputStatistics, observe, placement
from convnext_edge.quantization.insert_qdq import ActivationRange, ConvNeXtQuantizer, weight_observers
from convnext_edge.quantization.job import Job, Quantized
from convnext_edge.quantization.recipe import Recipe, matches
from convnext_edge.quantization.round_weights import copy_weights, round_weights
from convnext_edge.quantization.smooth import smooth
from convnext_edge.quiet import quiet

SMOOTHING_IMAGES = 16  # that channel scales are taken from, of all that calibrate: more changed no result


@dataclass(frozen=True)
class Calibrated:
    """A model with all that calibration found.

    smoothed: lowered, its channel scales evened out, otherwise the reference. rounded: the same with the
    quantized weights on their grids, of scales `weight_scales` (out,); empty where they are left to the
    converter. ranges: of the input of each quantized layer; fallback_ranges: those of 16 bits, where they
    are the recipe's fallback. prepared: the graph of `rounded` with its observers. placement: as of
    `ConvNeXtQuantizer`.
    """

    smoothed: nn.Module
    rounded: nn.Module
    weight_scales: dict[str, Tensor]
    ranges: dict[str, ActivationRange]
    fallback_ranges: dict[str, ActivationRange]
    prepared: GraphModule
    placement: dict[str, bool]

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
    recipe, raw_bytes = job.recipe, job.input_type == "uint8"
    smoothed = job.lowered()
    check_placement(recipe, placement(smoothed, recipe, raw_bytes=raw_bytes))
    if recipe.smooths:
        smooth(smoothed, map(interleaved, job.batches("smoothing", limit=SMOOTHING_IMAGES)), recipe.smoothing)
    batches = map(interleaved, job.batches("calibrating"))
    seen = observe(smoothed, batches, recipe, images=len(job.images), raw_bytes=raw_bytes)
    rounded, scales = smoothed, dict[str, Tensor]()
    if recipe.rounding != "nearest":
        rounded = deepcopy(smoothed)
        scales = round_weights(rounded, seen, recipe)
    ranges = {name: s.range for name, s in seen.items() if recipe.at(name).activation != "float"}
    quantizer = ConvNeXtQuantizer(recipe, scales, ranges)
    prepared = prepare(rounded, job, quantizer)
    fallback = fallback_ranges(recipe, seen)
    return Calibrated(smoothed, rounded, scales, ranges, fallback, prepared, quantizer.placement)


def interleaved(images: NDArray[Any]) -> Tensor:
    """The same (N, 3, H, W) with the channels of a pixel side by side: convolutions run a tenth faster so."""
    return torch.from_numpy(images).to(memory_format=torch.channels_last)


def fallback_ranges(recipe: Recipe, seen: dict[str, InputStatistics]) -> dict[str, ActivationRange]:
    if recipe.fallback == "float":
        return {}
    widened = {name: recipe.relaxed([name]).at(name) for name in seen}
    return {name: seen[name].range_by(wide) for name, wide in widened.items() if wide.activation != "float"}


def relax(job: Job, calibrated: Calibrated, names: list[str]) -> Quantized:
    """What `quantize_ptq` gives with the layers `names` float, or with the recipe's other `fallback`,
    without another calibration.
    """
    recipe, module, ranges = job.recipe.relaxed(names), calibrated.rounded, calibrated.ranges
    if recipe.fallback == "float":
        module = deepcopy(module)
        copy_weights(calibrated.smoothed, module, names)
    else:
        ranges = ranges | {name: wide for name, wide in calibrated.fallback_ranges.items() if name in names}
    quantizer = ConvNeXtQuantizer(recipe, calibrated.weight_scales, ranges)
    prepared = prepare(module, job, quantizer)
    with quiet():
        return placed(convert_pt2e(prepared), quantizer.placement, job)


def prepare(module: nn.Module, job: Job, quantizer: ConvNeXtQuantizer) -> GraphModule:
    """The graph with its observers, those of weights filled."""
    with quiet():
        prepared: GraphModule = prepare_pt2e(export_program(module, job.example()), quantizer)
    with torch.inference_mode():
        prepared(job.example())  # ranges of activations are known, so that noise is as good as an image
    return prepared


def placed(converted: GraphModule, placement: dict[str, bool], job: Job) -> Quantized:
    """A converted graph, to be written under the names that the quantizer saw."""
    return Quantized(
        placement, lambda path: write_onnx(converted, job.example(), path, layer_names=placement)
    )


def check_placement(recipe: Recipe, placement: dict[str, bool]) -> None:
    """Raises QuantizationError for a pattern of the recipe that no layer has, and where no layer is left.

    placement: of all layers by name, whether they are to be quantized.
    """
    for key in ("keep_float", "sixteen_bit", "weights_only"):
        for pattern in getattr(recipe, key):
            if not any(matches(name, [pattern]) for name in placement):
                raise QuantizationError(
                    f"{key} {pattern!r} matches no layer",
                    hint=f"Layers are called {', '.join(list(placement)[:4])}, …",
                )
    if not any(placement.values()):
        raise QuantizationError("every layer is kept float: nothing to quantize", hint="Narrow --keep-float.")
