"""Resize nodes, as PyTorch's exporter writes them: to a whole shape, with the number of images in it."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from convnext_edge.onnx_graph.lookup import add_constant, initializers, prune_constants

SIZES = 3  # the input of a Resize that tells the shape of its output
SPATIAL = (2, 3)  # axes of rows and columns
OF_18 = ("antialias", "axes", "keep_aspect_ratio_policy")  # attributes that came with opset 18


def keep_batches(model: ModelProto) -> None:
    """Let each Resize tell rows and columns alone, so that the number of images may vary."""
    constants = initializers(model)
    for node in resizes(model):
        sizes = numpy_helper.to_array(constants[node.input[SIZES]])
        size = sizes[list(SPATIAL)]
        node.input[SIZES] = add_constant(model, f"{node.output[0]}_size", size).name
        node.attribute.append(helper.make_attribute("axes", SPATIAL))
    prune_constants(model)


def resize_by_scales(model: ModelProto) -> None:
    """Write each Resize as opset 17 has it, which knows no axes: by the factors of all four axes."""
    constants = initializers(model)
    shapes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in model.graph.value_info
    }
    for node in resizes(model):
        size = numpy_helper.to_array(constants[node.input[SIZES]]).tolist()
        before = [shapes[node.input[0]][axis] for axis in SPATIAL]
        factors = [factor(edge, to) for edge, to in zip(before, size, strict=True)]
        scales = add_constant(model, f"{node.output[0]}_scales", np.array([1, 1, *factors], np.float32))
        del node.input[2:]
        node.input.append(scales.name)
        kept = [attribute for attribute in node.attribute if attribute.name not in OF_18]
        del node.attribute[:]
        node.attribute.extend(kept)
    prune_constants(model)


def factor(before: int, after: int) -> np.float32:
    """Return the factor of an edge; where it is no whole number a little more, as runtimes round down."""
    found = np.float32(after / before)
    return found if found.is_integer() else np.nextafter(found, np.float32(np.inf))


def resizes(model: ModelProto) -> list[NodeProto]:
    """Return the Resize nodes that tell the shape of their output."""
    return [node for node in model.graph.node if node.op_type == "Resize" and len(node.input) > SIZES]
