"""The opset of a graph, the version of ONNX's operators that it is written in: read and changed.

PyTorch's exporter writes 18 and later, all but GELU (`gelu.py`) as we want it. It does not write 17, where
the axes of most reductions are attributes. ONNX's own converter (1.23) leaves attributes there that 17 does
not know, and drops the shapes of values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from convnext_edge.errors import TargetError
from convnext_edge.onnx_graph.lookup import add_constant, initializers, prune_constants, read_attribute
from convnext_edge.onnx_graph.resizing import resize_by_scales

EXPORTERS_FIRST = 18  # of the opsets that PyTorch's exporter writes; in it, axes became inputs


def opset_of(model: ModelProto) -> int:
    """Return the version of ONNX's own operators; raise TargetError where the graph states none."""
    return int(_opset(model).version)


def set_opset(model: ModelProto, opset: int) -> None:
    """State another version of ONNX's operators; the nodes are left as they are."""
    _opset(model).version = opset


def _opset(model: ModelProto) -> Any:
    stated = (entry for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    found = next(stated, None)
    if found is None:
        raise TargetError("the graph states no version of ONNX's operators", hint="Export the model again.")
    return found


def lower_to_17(model: ModelProto) -> None:
    """Write a graph of opset 18 in opset 17: axes of reductions become attributes, those of Resize go."""
    resize_by_scales(model)
    constants = initializers(model)
    for node in filter(_changed_in_18, model.graph.node):
        kept = [attribute for attribute in node.attribute if attribute.name == "keepdims"]
        del node.attribute[:]
        node.attribute.extend(kept)
        if len(node.input) > 1:
            axes = numpy_helper.to_array(constants[node.input.pop()]).ravel().tolist()
            node.attribute.append(helper.make_attribute("axes", axes))
    prune_constants(model)
    set_opset(model, 17)


def raise_opset(model: ModelProto, opset: int) -> None:
    """Write a graph in a later opset, where it is not in that or a later one already."""
    before = opset_of(model)
    if before >= opset:
        return
    for node in filter(_changed_in_18, model.graph.node) if before < EXPORTERS_FIRST else ():
        axes = read_attribute(node, "axes", None)
        if axes is not None:
            node.input.append(add_constant(model, f"{node.output[0]}_axes", np.array(axes)).name)
            kept = [attribute for attribute in node.attribute if attribute.name != "axes"]
            del node.attribute[:]
            node.attribute.extend(kept)
    set_opset(model, opset)


def _changed_in_18(node: NodeProto) -> bool:
    """Return whether 18 made an input of the node's attribute `axes`; of ReduceSum, 13 did."""
    return node.op_type.startswith("Reduce") and node.op_type != "ReduceSum"
