"""The parts that a model is built of: its graph as it is, or the two of a detector.

A detector's one graph is none for TensorRT. TensorRT-RTX 1.7 refuses its NonZero ("plugin creator ... was not
found"). TensorRT's parser takes all of its operators on paper, with limits that such a graph meets: RoiAlign
in FP16 computes in FP16 where boxes lie, to a pixel beyond 1,024
(https://github.com/NVIDIA/TensorRT/tree/main/plugin/roiAlignPlugin); TopK gives 3,840 at most
(https://github.com/onnx/onnx-tensorrt/blob/main/docs/operators.md); and pieces of a level that no box is on
are empty tensors, which profiles cannot begin with (https://github.com/pytorch/TensorRT/issues/4610).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import onnx
from onnx import ModelProto, TensorProto, numpy_helper

from convnext_edge.artifacts.opsets import FIRST_WITH_HALF_QDQ
from convnext_edge.errors import TargetError
from convnext_edge.onnx_graph.detector_parts import OF_MASKS, is_detector, split_detector
from convnext_edge.onnx_graph.files import load
from convnext_edge.onnx_graph.lookup import initializers
from convnext_edge.onnx_graph.naming import INPUT
from convnext_edge.onnx_graph.opset import opset_of
from convnext_edge.onnx_graph.qdq import QDQ, is_quantized
from convnext_edge.onnx_graph.resizing import resize_by_scales, resizes
from convnext_edge.progress import note

OPTIMAL_BATCH = 1  # kernels are chosen for it: on a device, images come one by one
WHOLE, DENSE, HEADS = "model", "dense", "heads"  # names of parts


class Range(NamedTuple):
    """How long the first axis of an input is."""

    least: int
    usual: int  # kernels are chosen for it
    most: int


@dataclass(frozen=True)
class Part:
    """A graph that an engine of its own is built of."""

    name: str
    graph: ModelProto
    ranges: dict[str, Range]  # by input

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each input without its first axis."""
        return {
            value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim[1:])
            for value in self.graph.graph.input
        }

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs."""
        return tuple(value.name for value in self.graph.graph.output)


def read_parts(model: Path, precision: str | None, max_batch: int, *, target: str) -> tuple[Part, ...]:
    """Return the parts of the model in a file, with what is float in `precision`.

    By default that is FP16 where there is INT8, else FP32. max_batch: the most images in a call. Raises
    TargetError for activations that a target of that name does not take.
    """
    graph = load(model)
    check_signed(graph, model, target)
    whole = (Part(WHOLE, graph, of_images(max_batch)),)
    parts = detector_parts(graph, max_batch) if is_detector(graph) else whole
    int8 = is_quantized(graph)
    if (precision or ("fp16" if int8 else "fp32")) == "fp32":
        return tuple(replace(part, graph=read_rightly(part.graph)) for part in parts)
    if int8 and opset_of(graph) < FIRST_WITH_HALF_QDQ:
        note(
            f"FP16 beside INT8 came with opset {FIRST_WITH_HALF_QDQ}: taking that, where {model.name} has"
            f" {opset_of(graph)}; --precision fp32 keeps it"
        )
    from convnext_edge.onnx_graph.half import to_half

    return tuple(replace(part, graph=to_half(read_rightly(part.graph))) for part in parts)


def read_rightly(graph: ModelProto) -> ModelProto:
    """Return a graph whose Resize nodes are read rightly by TensorRT.

    Its parser takes the sizes of one for those of all axes, whatever axes they are of.
    """
    if not resizes(graph):
        return graph
    shaped = onnx.shape_inference.infer_shapes(graph)
    resize_by_scales(shaped)
    return shaped


def check_signed(model: ModelProto, path: Path, target: str) -> None:
    """Raise TargetError where Q/DQ is not symmetric INT8, the only kind that TensorRT has."""
    constants = initializers(model)
    for node in model.graph.node:
        if node.op_type in QDQ:
            zero = constants.get(node.input[2]) if len(node.input) > 2 else None
            if not _is_symmetric(zero):
                raise TargetError(
                    f"{path} quantizes activations to unsigned or shifted codes (at {node.name}), as CPUs"
                    f" like them; {target} takes symmetric INT8 only",
                    hint=f"Quantize for it: convnext-edge quantize MODEL --calib NAME --target {target}",
                )


def _is_symmetric(zero: TensorProto | None) -> bool:
    """Return whether a zero point is INT8 and zero; a missing one means unsigned."""
    return zero is not None and zero.data_type == TensorProto.INT8 and not numpy_helper.to_array(zero).any()


def of_images(max_batch: int) -> dict[str, Range]:
    """Return the range of batches of 1 to `max_batch` images."""
    return {INPUT: Range(1, min(OPTIMAL_BATCH, max_batch), max_batch)}


def detector_parts(model: ModelProto, max_batch: int) -> tuple[Part, Part]:
    """Return the dense part and the heads of a detector's graph.

    The heads take the boxes of one image, of which each call has pieces for one of them; of the inputs of
    others it has a single piece, as an engine can be given no empty one.
    """
    split = split_detector(model)
    heads = {}
    for value in split.heads.graph.input:
        count = split.detections if value.name == OF_MASKS else split.proposals
        heads[value.name] = Range(1, count, count)
    return Part(DENSE, split.dense, of_images(max_batch)), Part(HEADS, split.heads, heads)


def heads_file(engine: Path) -> Path:
    """Return the engine of a detector's heads beside that of its dense part."""
    return engine.with_name(f"{engine.stem}.{HEADS}{engine.suffix}")
