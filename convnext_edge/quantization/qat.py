"""Quantization-aware training through torchao's pt2e: prepare from what calibration found, convert."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.fx import GraphModule
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e

from convnext_edge.onnx_graph.tracing import export_program
from convnext_edge.quantization.fake import TrainingQuantizer
from convnext_edge.quantization.job import Job, Quantized
from convnext_edge.quantization.ptq import calibrate, placed
from convnext_edge.quiet import quiet


@dataclass(frozen=True)
class Student:
    """graph: trainable, with fake quantization. placement: of each layer, whether it is quantized."""

    graph: GraphModule
    placement: dict[str, bool]


def make_student(job: Job, *, rounded: bool = True) -> Student:
    """The quantized model as PTQ leaves it, ready to be trained."""
    calibrated = calibrate(job)
    quantizer = TrainingQuantizer(job.recipe, calibrated)
    module = calibrated.rounded if rounded else calibrated.smoothed
    with quiet():
        graph: GraphModule = prepare_qat_pt2e(export_program(module, job.example()), quantizer)
    graph.requires_grad_(True)
    return Student(graph, quantizer.placement)


def convert_student(student: Student, job: Job) -> Quantized:
    """The trained graph with Q/DQ nodes in place of fake quantization."""
    with torch.no_grad():
        student.graph(job.example())  # scales that follow from the weights take those of the last step
    with quiet():
        return placed(convert_pt2e(student.graph), student.placement, job)
