"""Post-training quantization: smooth, calibrate, round weights, insert Q/DQ."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from convnext_edge.network.lowering import LoweredConvNeXt
from convnext_edge.quantization.calibrate import InputStatistics, calibrate
from convnext_edge.quantization.calibration_images import CalibrationImages
from convnext_edge.quantization.insert_qdq import as_quantized, insert_qdq, known_specs
from convnext_edge.quantization.job import Job, Quantized
from convnext_edge.quantization.observers import ActivationRange, ValueCounts
from convnext_edge.quantization.placement import choose_placement
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.quantization.round_weights import copy_weights, round_weights
from convnext_edge.quantization.smooth import smooth

SMOOTHING_IMAGES = 16  # that channel scales are taken from, of all that calibrate: more changed no result


@dataclass(frozen=True)
class Calibrated:
    """A model with all that its calibration images told, ready for Q/DQ."""

    placement: dict[str, bool]  # of each layer by name, whether it is quantized
    smoothed: LoweredConvNeXt  # its channel scales evened out, otherwise the reference
    rounded: LoweredConvNeXt  # the same, its weights rounded as `round_weights` does
    weight_scales: dict[str, Tensor]  # (O,) of each quantized layer
    ranges: dict[str, ActivationRange]  # of each quantized input
    fallback_ranges: dict[str, ActivationRange]  # those of 16 bits, where they are the recipe's fallback
    # Values of quantized inputs in a sample of the images; none where the recipe looks at extremes alone.
    seen: dict[str, ValueCounts] = field(default_factory=dict)

    @property
    def quantized_layers(self) -> list[str]:
        """The names of the layers that are quantized."""
        return [name for name, chosen in self.placement.items() if chosen]


def quantize_ptq(job: Job) -> Quantized:
    """Quantize a model after its training; raises QuantizationError as `choose_placement` does."""
    return quantize_calibrated(job, calibrate_job(job))


def calibrate_job(job: Job) -> Calibrated:
    """Find all scales and ranges of a model; raises QuantizationError as `choose_placement` does."""
    recipe, model = job.recipe, lowered(job)
    placement = choose_placement(model.layers().values(), recipe)
    images = CalibrationImages(job, sample=SMOOTHING_IMAGES)
    if recipe.smooths:
        model = smooth(model, images.read_sample(), recipe.smoothing)
    statistics = calibrate(model, images.read_all(), recipe, placement, images=len(job.images))
    rounded, scales = round_weights(model, statistics, recipe)
    return Calibrated(
        placement=placement,
        smoothed=model,
        rounded=rounded,
        weight_scales=scales,
        ranges=choose_ranges(recipe, statistics),
        fallback_ranges=choose_fallback_ranges(recipe, statistics),
        seen={name: counts for name, found in statistics.items() if (counts := found.counts()) is not None},
    )


def quantize_calibrated(job: Job, calibrated: Calibrated, fallback: Collection[str] = ()) -> Quantized:
    """Insert Q/DQ into a calibrated model, with the recipe's fallback for the layers named `fallback`.

    So the layers may become float, or get 16-bit activations, without another calibration.
    """
    recipe, model, ranges = job.recipe.relaxed(fallback), calibrated.rounded, calibrated.ranges
    placement = calibrated.placement
    if recipe.fallback == "float":
        model = copy_weights(calibrated.smoothed, model, fallback) if fallback else model
        placement = {name: chosen and name not in fallback for name, chosen in placement.items()}
    else:
        ranges = ranges | {
            name: wide for name, wide in calibrated.fallback_ranges.items() if name in fallback
        }
    specs = known_specs(model.layers(), placement, recipe, calibrated.weight_scales, ranges)
    return as_quantized(insert_qdq(model, specs, job.example()), placement, job)


def lowered(job: Job) -> LoweredConvNeXt:
    """Return the model of a job in its lowered form; Q/DQ has a place in no other."""
    model = job.lowered()
    assert isinstance(model, LoweredConvNeXt)
    return model


def choose_ranges(recipe: Recipe, statistics: Mapping[str, InputStatistics]) -> dict[str, ActivationRange]:
    """Return the range of each input that is quantized, by the name of the layer."""
    return {
        name: found.range() for name, found in statistics.items() if recipe.at(name).activation != "float"
    }


def choose_fallback_ranges(
    recipe: Recipe, statistics: Mapping[str, InputStatistics]
) -> dict[str, ActivationRange]:
    """Return the range of each input with 16 bits, where they are the recipe's fallback, by layer."""
    if recipe.fallback == "float":
        return {}
    widened = {name: recipe.relaxed([name]).at(name) for name in statistics}
    return {
        name: statistics[name].range_by(wide) for name, wide in widened.items() if wide.activation != "float"
    }
