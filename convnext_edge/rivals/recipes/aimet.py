"""AIMET: Qualcomm's simulation of quantization over ONNX, whose ranges and rounding become Q/DQ nodes."""

from __future__ import annotations

from pathlib import Path

import aimet_onnx
import onnx
from aimet_onnx.cross_layer_equalization import equalize_model

from convnext_edge.rivals.rival import Given


def quantize(
    given: Given,
    folder: Path,
    *,
    equalize: bool = False,
    search_scales: bool = False,
    round_weights: bool = False,
) -> Path:
    """Quantize to W8A8 with the defaults, after what the options name.

    equalize: cross-layer equalization. search_scales: sequential MSE. round_weights: AdaRound, with its
    default of 10,000 steps a layer.
    """
    model = onnx.load(given.onnx)
    if equalize:
        equalize_model(model)
    simulation = aimet_onnx.QuantizationSimModel(model)
    inputs = [{given.input_name: image[None]} for image in given.images().copy()]
    if search_scales:
        aimet_onnx.apply_seq_mse(simulation, inputs)
    if round_weights:
        aimet_onnx.apply_adaround(simulation, inputs)
    simulation.compute_encodings(inputs)
    path = folder / "aimet.onnx"
    onnx.save(simulation.to_onnx_qdq(prequantize_constants=True), path)
    return path
