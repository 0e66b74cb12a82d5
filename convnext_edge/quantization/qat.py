"""Quantization-aware training through torchao's pt2e: prepare from what PTQ found, convert."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.fx import GraphModule
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e

from convnext_edge.network.exporter import exporter, running
from convnext_edge.onnx_graph.tracing import export_program
from convnext_edge.progress import phase
from convnext_edge.quantization.fake import training_specs
from convnext_edge.quantization.insert_qdq import LayerQuantizer, as_quantized
from convnext_edge.quantization.job import Job, Quantized
from convnext_edge.quantization.ptq import calibrate_job


@dataclass(frozen=True)
class Student:
    """A quantized model that can be trained."""

    graph: GraphModule  # with fake quantization
    placement: dict[str, bool]  # of each layer by name, whether it is quantized


def make_student(job: Job, *, rounded: bool = True) -> Student:
    """Make the quantized model as PTQ leaves it, ready to be trained.

    rounded: start from weights that are on their grids, or else from those before rounding.
    """
    calibrated = calibrate_job(job)
    module = calibrated.rounded if rounded else calibrated.smoothed
    quantizer = LayerQuantizer(module.layers(), training_specs(module.layers(), job.recipe, calibrated))
    with exporter(), phase("preparing the model for training"):
        graph: GraphModule = prepare_qat_pt2e(export_program(module, job.example()), quantizer)
    graph.requires_grad_(True)
    return Student(graph, calibrated.placement)


@phase("converting what was trained")
def convert_student(student: Student, job: Job) -> Quantized:
    """Convert the trained graph: Q/DQ nodes take the place of fake quantization."""
    with running(), torch.no_grad():
        student.graph(job.example())  # scales that follow from the weights take those of the last step
    with exporter():
        return as_quantized(convert_pt2e(student.graph), student.placement, job)
