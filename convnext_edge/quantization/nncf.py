"""NNCF's `quantize_pt2e` over our placement: SmoothQuant and fast bias correction.

Of NNCF come the weights as these two left them, and the ranges of the activations. Scales of weights are
those of the recipe: NNCF's own are the largest weight by 127, with which most output channels hold pairs
that saturate on CPUs without VNNI, and it has no say in the number of bits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch.fx import GraphModule
from torchao.quantization.pt2e.constant_fold import constant_fold

from convnext_edge.errors import TargetError
from convnext_edge.onnx_graph.tracing import export_program
from convnext_edge.quantization.insert_qdq import ConvNeXtQuantizer, Layer, layers
from convnext_edge.quantization.job import Job, Quantized
from convnext_edge.quantization.ptq import check_placement, placed
from convnext_edge.quiet import quiet

QUANTIZE_WEIGHT = torch.ops.quantized_decomposed.quantize_per_channel.default


def quantize_nncf(job: Job) -> Quantized:
    """Raises TargetError where NNCF is not installed."""
    try:
        with quiet():
            import nncf
            from nncf.experimental.torch.fx import quantize_pt2e
    except ImportError as error:
        raise TargetError(
            "method nncf needs the package nncf", hint="pip install 'convnext-edge[nncf]'"
        ) from error
    # NNCF has no fixed scale, which a stem that reads raw bytes would need
    kept = (*job.recipe.keep_float, *(["stem"] if job.input_type == "uint8" else []))
    quantizer = ConvNeXtQuantizer(replace(job.recipe, keep_float=kept))
    images = [torch.from_numpy(batch) for batch in job.batches("calibrating", size=1)]
    with quiet():
        program = export_program(job.lowered(), job.example())
        by_weight = {str(layer.weight.target): layer for layer in layers(program)}
        converted = quantize_pt2e(
            program,
            quantizer,
            calibration_dataset=nncf.Dataset(images),
            subset_size=len(images),
            smooth_quant=True,
            fast_bias_correction=True,
            fold_quantize=False,  # weights stay float until they have our scales
        )
        rescale(converted, by_weight, quantizer)
    check_placement(quantizer.recipe, quantizer.placement)
    return placed(converted, quantizer.placement, job)


def rescale(converted: GraphModule, by_weight: dict[str, Layer], quantizer: ConvNeXtQuantizer) -> None:
    """Round each weight to the scale that the recipe asks for, in place. by_weight: layers by its name."""
    for node in converted.graph.find_nodes(op="call_function", target=QUANTIZE_WEIGHT):
        weight, scale = node.args[:2]
        spec = quantizer.weight_spec(by_weight[str(weight.target)])
        codes = {"dtype": spec.dtype, "quant_min": spec.quant_min, "quant_max": spec.quant_max}
        observer = spec.observer_or_fake_quant_ctr(**codes, qscheme=spec.qscheme)
        observer(tensor(converted, weight.target))
        tensor(converted, scale.target).copy_(observer.calculate_qparams()[0])
    constant_fold(converted, lambda node: node.target is QUANTIZE_WEIGHT)


def tensor(module: GraphModule, path: str) -> Any:
    """The parameter or buffer at a path, without its gradient."""
    owner, _, name = path.rpartition(".")
    return getattr(module.get_submodule(owner), name).detach()
