"""Post-training quantization through torchao's pt2e: prepare, calibrate, convert."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from convnext_edge.errors import QuantizationError
from convnext_edge.model.graph import export_program, write_onnx
from convnext_edge.quiet import quiet
from convnext_edge.stages.quantize.job import Job, Quantized
from convnext_edge.stages.quantize.quantizer import ConvNeXtQuantizer
from convnext_edge.stages.quantize.rounding import round_weights
from convnext_edge.stages.quantize.smoothing import smooth

STATISTICS = 128  # images that channel scales and second moments are taken from, of all that calibrate


def quantize_ptq(job: Job) -> Quantized:
    """Channel scales evened out, weights rounded with an eye on the output, then ranges calibrated."""
    lowered, scales = prepare_weights(job)
    quantizer = ConvNeXtQuantizer(job.recipe, scales)
    with quiet():
        prepared = prepare_pt2e(export_program(lowered, job.example()), quantizer)
    check_placement(quantizer)
    with torch.inference_mode():
        for images in job.batches("calibrating"):
            prepared(torch.from_numpy(images))
    with quiet():
        return placed(convert_pt2e(prepared), quantizer, job)


def prepare_weights(job: Job) -> tuple[nn.Module, dict[str, Tensor]]:
    """The lowered model with its scales moved and its weights rounded, and the scales of those rounded."""
    lowered, recipe = job.lowered(), job.recipe
    if recipe.smoothing:
        smooth(lowered, map(torch.from_numpy, job.batches("smoothing", limit=STATISTICS)), recipe.smoothing)
    if recipe.rounding == "nearest":
        return lowered, {}
    batches = map(torch.from_numpy, job.batches("rounding", limit=STATISTICS))
    return lowered, round_weights(lowered, batches, recipe, raw_bytes=job.input_type == "uint8")


def placed(converted: torch.nn.Module, quantizer: ConvNeXtQuantizer, job: Job) -> Quantized:
    """A converted graph, to be written under the names that the quantizer saw."""
    return Quantized(
        quantizer.placement,
        lambda path: write_onnx(converted, job.example(), path, layer_names=quantizer.placement),
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
