"""Resize nodes, as PyTorch's exporter writes them: to a whole shape, with the number of images in it."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from convnext_edge.onnx_graph.lookup import (
    add_constant,
    initializers,
    prune_constants,
    read_attribute,
)

SIZES = 3  # the input of a Resize that tells the shape of its output
SPATIAL = (2, 3)  # axes of rows and columns
OF_18 = ("antialias", "axes", "keep_aspect_ratio_policy")  # attributes that came with opset 18


def keep_batches(model: ModelProto) -> None:
    """Let each Resize tell what becomes of rows and columns alone, so that the number of images may vary.

    By factors of all axes where these are as good as sizes. Sizes of two axes are the other way; ONNX
    Runtime's optimizer takes them for those of four where it moves a transpose behind a Resize, and refuses
    the graph: so it does with what its own `quantize_static` makes of convolutions.
    """
    constants, shapes = initializers(model), _shapes(model)
    for node in resizes(model):
        size = numpy_helper.to_array(constants[node.input[SIZES]])[list(SPATIAL)]
        before = [shapes[node.input[0]][axis] for axis in SPATIAL]
        whole = not any(after % edge for edge, after in zip(before, size.tolist(), strict=True))
        if whole or read_attribute(node, "mode", b"nearest") == b"linear":
            _tell_factors(model, node, before, size.tolist())
        else:
            node.input[SIZES] = add_constant(model, f"{node.output[0]}_size", size).name
            node.attribute.append(helper.make_attribute("axes", SPATIAL))
    prune_constants(model)


def resize_by_scales(model: ModelProto) -> None:
    """Write each Resize as opset 17 has it, which knows no axes: by the factors of all four axes."""
    constants, shapes = initializers(model), _shapes(model)
    for node in resizes(model):
        size = numpy_helper.to_array(constants[node.input[SIZES]]).tolist()
        _tell_factors(model, node, [shapes[node.input[0]][axis] for axis in SPATIAL], size)
    for node in model.graph.node:
        if node.op_type == "Resize":
            kept = [attribute for attribute in node.attribute if attribute.name not in OF_18]
            del node.attribute[:]
            node.attribute.extend(kept)
    prune_constants(model)


def _shapes(model: ModelProto) -> dict[str, list[int]]:
    """Return the sizes of the axes of each value that the graph knows, 0 where they are free."""
    values = (*model.graph.value_info, *model.graph.input)
    return {value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in values}


def _tell_factors(model: ModelProto, node: NodeProto, before: list[int], after: list[int]) -> None:
    """Let a Resize tell the factors of all four axes. before, after: rows and columns."""
    factors = [factor(edge, to) for edge, to in zip(before, after, strict=True)]
    scales = add_constant(model, f"{node.output[0]}_scales", np.array([1, 1, *factors], np.float32))
    del node.input[2:]
    node.input.append(scales.name)


def factor(before: int, after: int) -> np.float32:
    """Return the factor of an edge; where it is no whole number a little more, as runtimes round down."""
    found = np.float32(after / before)
    return found if found.is_integer() else np.nextafter(found, np.float32(np.inf))


def resizes(model: ModelProto) -> list[NodeProto]:
    """Return the Resize nodes that tell the shape of their output."""
    return [node for node in model.graph.node if node.op_type == "Resize" and len(node.input) > SIZES]
