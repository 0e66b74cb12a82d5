"""The values of single layers against the ranges of their codes: histograms, and what the ranges cut off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from convnext_edge.network.layers import Layer
from convnext_edge.quantization.job import Job
from convnext_edge.quantization.observers import activation_codes
from convnext_edge.quantization.ptq import Calibrated

BINS = 48  # of a histogram: what a chart of a phone's width shows


@dataclass(frozen=True)
class Values:
    """A histogram of values, and the range that codes cover."""

    edges: tuple[float, ...]  # of the bins, one more than shares
    shares: tuple[float, ...]  # of all values, in each bin
    low: float  # least value that has a code
    high: float  # largest
    clipped: float  # share of the values outside, which become the nearest end


def weight_values(layer: Layer, calibrated: Calibrated, largest_code: int) -> Values:
    """Return the FP32 weights of a layer, in codes of their channel: what rounding to integers makes INT8."""
    scale = calibrated.weight_scales[layer.name].reshape(-1, 1)
    codes = (layer.weight_matrix / scale).flatten().numpy()
    most = max(largest_code, float(np.abs(codes).max()))
    counts, edges = np.histogram(codes, BINS, (-most, most))
    outside = np.abs(codes) > largest_code + 0.5
    return Values(*_shares(counts, edges), -largest_code, largest_code, float(outside.mean()))


def activation_values(name: str, job: Job, calibrated: Calibrated) -> Values | None:
    """Return the values of a layer's input in the calibration images; None where they were not counted."""
    seen, known = calibrated.seen.get(name), calibrated.ranges.get(name)
    if seen is None or known is None or not seen.counts.sum() or seen.largest <= seen.least:
        return None
    limits = activation_codes(job.recipe.at(name))
    low, high = (known.scale * (limits[key] - known.zero_point) for key in ("quant_min", "quant_max"))
    edges = np.linspace(seen.least, seen.largest, len(seen.counts) + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    counts = seen.counts.double().numpy()
    outside = (centres < low - known.scale / 2) | (centres > high + known.scale / 2)
    fewer, wide = np.histogram(centres, BINS, (seen.least, seen.largest), weights=counts)
    return Values(*_shares(fewer, wide), low, high, float(counts[outside].sum() / counts.sum()))


def layer_values(name: str, job: Job, calibrated: Calibrated) -> tuple[Values, Values | None]:
    """Return the values of a layer's weights and of its input."""
    layer = calibrated.smoothed.layers()[name]
    with torch.inference_mode():
        weights = weight_values(layer, calibrated, job.recipe.largest_code)
    return weights, activation_values(name, job, calibrated)


def _shares(
    counts: NDArray[np.float64] | NDArray[np.int64], edges: NDArray[np.float64]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    total = counts.sum()
    return (
        tuple(float(f"{edge:.6g}") for edge in edges),
        tuple(float(f"{count / total:.4g}") for count in counts),
    )
