"""From a PyTorch module to an ATen graph and to an ONNX file, through PyTorch's own exporters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnxscript.optimizer
import torch
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from torch import nn

from convnext_edge.artifacts.metadata import Metadata
from convnext_edge.artifacts.opsets import FIRST_WITH_16_BITS, USUAL
from convnext_edge.errors import ExportError
from convnext_edge.images.noise import noise
from convnext_edge.images.preprocessing import InputType
from convnext_edge.network.exporter import exporter
from convnext_edge.onnx_graph.detection import translations
from convnext_edge.onnx_graph.files import save, write_metadata
from convnext_edge.onnx_graph.gelu import FIRST_WITH_GELU, write_gelu
from convnext_edge.onnx_graph.lookup import add_constant, consumers, initializers
from convnext_edge.onnx_graph.naming import INPUT, name_layers, strip_notes
from convnext_edge.onnx_graph.opset import EXPORTERS_FIRST, lower_to_17, opset_of, set_opset
from convnext_edge.onnx_graph.qdq import drop_byte_casts
from convnext_edge.onnx_graph.resizing import keep_batches
from convnext_edge.onnx_graph.unfolding import quantize_before_unfolding
from convnext_edge.progress import phase

GELU = torch.ops.aten.gelu.default
FREE = {"Reshape": -1, "Expand": 1}  # by operator: what leaves an axis as it is
BATCH = "batch"  # name of the axis
VECTOR = 2  # axes of a pooled vector, (N, features)


def example_input(
    size: tuple[int, int, int], input_type: InputType, *, batch: int = 2, seed: int = 0
) -> torch.Tensor:
    """Return noise of the right shape and type, to trace or compare with; never to calibrate with.

    Tracing a dynamic batch needs two images or more: one would be taken for a constant.
    """
    return torch.from_numpy(noise(size, input_type, batch=batch, seed=seed))


@phase("tracing the network")
def export_program(
    module: nn.Module, example: torch.Tensor, *, any_batch: bool = True
) -> torch.fx.GraphModule:
    """Return the module as an ATen graph, as torchao's pt2e takes it.

    any_batch: whether it takes any number of images, or as many as `example` holds, in half the time.
    """
    dynamic = ({0: torch.export.Dim(BATCH)},) if any_batch else None
    with exporter():
        return torch.export.export(module, (example,), dynamic_shapes=dynamic).module()


@dataclass(frozen=True)
class Graph:
    """What an ONNX graph is to be like, where that does not follow from its module."""

    outputs: Sequence[str]  # names of what the module returns
    layer_names: Iterable[str] = ()  # of convolutions and multiplications in order, to name nodes by
    opset: int | None = None  # by default the usual one, or the first that can hold the graph
    dynamic_size: bool = False  # whether images may have any height and width
    counts_boxes: bool = False  # whether a first axis may be of boxes, as many of each image
    metadata: Metadata = field(default_factory=dict)  # what the file says of itself


@phase("tracing the network")
def write_onnx(module: nn.Module, example: torch.Tensor, path: Path, graph: Graph) -> None:
    """Write `module` with a dynamic batch; weights over 2 GiB go to a companion file `path`.data.

    Raises ExportError where the opset cannot hold the graph, or the written file is not valid ONNX.
    """
    with exporter():
        model = trace(module, example, graph.outputs, max(graph.opset or USUAL, EXPORTERS_FIRST))
    keep_batches(model)
    free_batch(model, len(example), counts_boxes=graph.counts_boxes)
    if graph.dynamic_size:
        free_size(model)
    strip_notes(model)
    drop_byte_casts(model)
    quantize_before_unfolding(model)
    fit_opset(model, graph.opset)
    name_layers(model, list(graph.layer_names))
    write_metadata(model, graph.metadata)
    save(model, path)


def fit_opset(model: ModelProto, opset: int | None) -> None:
    """Bring a traced graph into the wanted opset, or the first that can hold it where None is wanted.

    Raises ExportError where the wanted one cannot.
    """
    wide = any(t.data_type in (TensorProto.UINT16, TensorProto.INT16) for t in model.graph.initializer)
    if wide and opset is None:
        set_opset(model, FIRST_WITH_16_BITS)
    elif wide and opset_of(model) < FIRST_WITH_16_BITS:
        raise ExportError(
            f"opset {opset} has no activations of 16 bits", hint=f"Take opset {FIRST_WITH_16_BITS} or later."
        )
    if opset is not None and opset < EXPORTERS_FIRST:
        lower_to_17(model)


def trace(module: nn.Module, example: torch.Tensor, outputs: Sequence[str], opset: int = USUAL) -> ModelProto:
    """Return the module as ONNX for as many images as `example` holds, in an opset of the exporter's.

    The batch is freed afterwards: with a symbol for it, the exporter takes twice as long.
    """
    detection = translations()
    program = torch.onnx.export(
        module,
        (example,),
        dynamo=True,
        opset_version=opset,
        custom_translation_table=detection | ({GELU: write_gelu} if opset < FIRST_WITH_GELU else {}),
        input_names=[INPUT],
        output_names=list(outputs),
        optimize=False,
        verbose=False,
    )
    assert program is not None
    onnxscript.optimizer.optimize(program.model, num_iterations=1)  # a second finds nothing in a ConvNeXt
    return program.model_proto


def free_batch(model: ModelProto, size: int, *, counts_boxes: bool = False) -> None:
    """Let the number of images vary in a graph that was traced with `size` of them.

    It is the first axis of all that depends on the image. Raises ExportError where it is not; a graph that
    `counts_boxes` is looked at only where it begins and ends.
    """
    of_images = {INPUT}
    shapes: dict[
        tuple[str, int], list[NodeProto]
    ] = {}  # by the constant that holds the shape, and what frees it
    for node in model.graph.node:
        if of_images.isdisjoint(node.input):
            continue
        of_images.update(node.output)
        if node.op_type in FREE:
            shapes.setdefault((node.input[1], FREE[node.op_type]), []).append(node)
    for (shape, free), nodes in shapes.items():
        free_shape(model, shape, nodes, free)
    if counts_boxes:
        del model.graph.value_info[:]
    for value in [*model.graph.input, *model.graph.value_info, *model.graph.output]:
        if value.name in of_images:
            first = value.type.tensor_type.shape.dim[0]
            if first.dim_value != size:
                raise ExportError(f"{value.name} of the exporter's graph does not begin with the batch")
            first.dim_param = BATCH


def free_size(model: ModelProto) -> None:
    """Let height and width vary in a graph whose operators read no constant that depends on them.

    Raises ExportError where one does: a shape that a Reshape keeps beyond the channels.
    """
    constants = initializers(model)
    for node in model.graph.node:
        if node.op_type == "Reshape" and len(numpy_helper.to_array(constants[node.input[1]])) > VECTOR:
            raise ExportError(f"{node.name} keeps the size of the images, so that it cannot be dynamic")
    del model.graph.value_info[:]
    for value in [*model.graph.input, *model.graph.output]:
        for axis, name in zip(value.type.tensor_type.shape.dim[2:], ("height", "width"), strict=False):
            axis.dim_param = name if value.name == INPUT else f"{value.name}_{name}"


def free_shape(model: ModelProto, name: str, readers: list[NodeProto], free: int) -> None:
    """Let the first axis vary in the constant shape `name`, as the nodes `readers` read it.

    free: what stands there for "as many as there are".

    onnxscript's optimizer merges equal constants: [2, 3] may be the shape of two images' logits for 3 classes
    and the axes of a mean as well. What others read too stays as it is, and `readers` get a copy.
    """
    constant = initializers(model)[name]
    shape = numpy_helper.to_array(constant).copy()
    shape[0] = free
    if len(consumers(model, name)) == len(readers):
        constant.CopyFrom(numpy_helper.from_array(shape, name))
        return
    copy = add_constant(model, f"{name}_{BATCH}", shape)
    for node in readers:
        node.input[1] = copy.name
