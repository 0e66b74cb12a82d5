"""NNCF's `quantize_pt2e` over our placement: SmoothQuant and fast bias correction.

Its weight scales are its own, so that INT8 can saturate with them on CPUs without VNNI.
"""

from __future__ import annotations

import torch

from convnext_edge.errors import TargetError
from convnext_edge.model.graph import export_program
from convnext_edge.quantization.job import Job, Quantized
from convnext_edge.quantization.ptq import check_placement, placed
from convnext_edge.quantization.quantizer import ConvNeXtQuantizer
from convnext_edge.quiet import quiet


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
    quantizer = ConvNeXtQuantizer(job.recipe)
    images = [torch.from_numpy(batch) for batch in job.batches("calibrating", size=1)]
    with quiet():
        converted = quantize_pt2e(
            export_program(job.lowered(), job.example()),
            quantizer,
            calibration_dataset=nncf.Dataset(images),
            subset_size=len(images),
            smooth_quant=True,
            fast_bias_correction=True,
        )
    check_placement(job.recipe, quantizer.placement)
    return placed(converted, quantizer.placement, job)
