"""Maps that are quantized before they are unfolded into what is around each pixel, not behind that.

    Pad -> Slice of each place -> Concat -> QuantizeLinear -> DequantizeLinear
    becomes
    QuantizeLinear -> Pad -> Slice of each place -> Concat -> DequantizeLinear

which gives the same codes, of which each is computed once, and copies bytes in place of floats.
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto, numpy_helper

from convnext_edge.onnx_graph.lookup import (
    consumers,
    forget_shapes,
    initializers,
    producer,
    read_attribute,
    replace_input,
)

VALUE = 2  # which input of Pad is what it pads with; zero by default


def quantize_before_unfolding(model: ModelProto) -> None:
    """Move each QuantizeLinear that stands behind copies of one value in front of them."""
    for quantize in [node for node in model.graph.node if node.op_type == "QuantizeLinear"]:
        copies, sources = _trace_back(model, quantize.input[0])
        made = [name for node in copies for name in node.output]
        readers = [reader for name in made for reader in consumers(model, name)]
        if len(sources) == 1 and copies and all(reader in (*copies, quantize) for reader in readers):
            _move(model, quantize, copies, sources.pop())


def _trace_back(model: ModelProto, name: str) -> tuple[list[NodeProto], set[str]]:
    """Return the nodes that copy values into the value `name`, and what they copy."""
    copies: list[NodeProto] = []
    sources: set[str] = set()
    todo = [name]
    while todo:
        value = todo.pop()
        node = producer(model, value)
        if node is None or not _copies(model, node) or (node.op_type == "Concat" and copies):
            sources.add(value)  # a Concat further up brings several maps together
        elif node not in copies:
            copies.append(node)
            todo += node.input if node.op_type == "Concat" else node.input[:1]
    return copies, sources


def _copies(model: ModelProto, node: NodeProto) -> bool:
    """Return whether a node copies values, and perhaps adds zeros."""
    if node.op_type != "Pad":
        return node.op_type in ("Concat", "Slice")
    stated = [name for name in node.input[VALUE:] if name]
    zeros = all(not numpy_helper.to_array(initializers(model)[name]).any() for name in stated)
    return zeros and read_attribute(node, "mode", b"constant") == b"constant"


def _move(model: ModelProto, quantize: NodeProto, copies: list[NodeProto], source: str) -> None:
    """Let `copies` of the value `source` read its codes, and what reads these codes read the copies."""
    graph = model.graph
    copied, codes = quantize.input[0], quantize.output[0]
    replace_input(model, codes, copied)
    for node in copies:
        for place, name in enumerate(node.input):
            if name == source:
                node.input[place] = codes
        if node.op_type == "Pad":
            del node.input[VALUE:]
            node.input.append(quantize.input[2])  # the code of zero
    quantize.input[0] = source
    made = {name for node in copies for name in node.output}
    first = min(place for place, node in enumerate(graph.node) if made.intersection(node.output))
    held = NodeProto()
    held.CopyFrom(quantize)
    graph.node.remove(quantize)
    graph.node.insert(first, held)
    forget_shapes(model, made | {codes})
