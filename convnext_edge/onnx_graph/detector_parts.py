"""The two parts of a detector's graph that are layers alone, for runtimes that cannot run what lies between.

The dense part ends with the levels of the pyramid and with what the proposals' layers tell of them. The heads
begin with what RoIAlign cuts out for each box. What lies between chooses boxes, so that how many there are
depends on the values. `network.remote_detector` does that with what the parts answer.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import onnx
from onnx import ModelProto, NodeProto, numpy_helper

from convnext_edge.detection import LEVELS
from convnext_edge.errors import ExportError
from convnext_edge.onnx_graph.lookup import consumers, initializers, producer
from convnext_edge.onnx_graph.naming import INPUT, is_multiplication, weight_name

BATCH = "batch"  # name of the axis of images
DENSE_OUTPUTS = (
    *(f"level{number}" for number in range(LEVELS - 1)),
    *(f"objectness{number}" for number in range(LEVELS)),
    *(f"deltas{number}" for number in range(LEVELS)),
)
OF_MASKS = "mask_pieces"  # the input of the mask heads
# A layer of the heads that gives an answer, by the name of its weight: its head, and what it tells. A lowered
# detector's layer `answers`, which placement calls by both names, tells both, one behind the other.
BOTH = ("objectness", "deltas")
ANSWER = re.compile(
    r"decoder\.(rpn|box|mask)\.(?:\d+\.)?(answers|objectness\+deltas|objectness|deltas|classes)"
    r"\.(?:\d+\.|layer\.)?weight"
)


class DetectorParts(NamedTuple):
    """The parts of a detector's graph."""

    dense: ModelProto  # from the image to DENSE_OUTPUTS
    heads: ModelProto  # from pieces of maps to answers, by the names of `heads_inputs` and `heads_outputs`
    proposals: int  # boxes of an image that each box head looks at
    detections: int  # boxes of an image that the mask heads look at


def heads_inputs(count: int) -> tuple[str, ...]:
    """Return the names of what the heads take: pieces for each of so many box heads, and for the masks."""
    return (*(f"box{number}_pieces" for number in range(count)), OF_MASKS)


def heads_outputs(count: int) -> dict[str, tuple[str, ...]]:
    """Return the names of what the heads answer to each of their inputs, of so many heads of a kind."""
    boxes = {f"box{n}_pieces": (f"box{n}_logits", f"box{n}_deltas") for n in range(count)}
    return {**boxes, OF_MASKS: tuple(f"mask{number}_logits" for number in range(count))}


def is_detector(model: ModelProto) -> bool:
    """Return whether a graph cuts pieces out of maps."""
    return any(node.op_type == "RoiAlign" for node in model.graph.node)


def split_detector(model: ModelProto) -> DetectorParts:
    """Return the parts of a detector's graph; raise ExportError for one that another form has made."""
    model = onnx.shape_inference.infer_shapes(model)
    levels = list(dict.fromkeys(node.input[0] for node in model.graph.node if node.op_type == "RoiAlign"))
    pieces = [node.output[0] for node in model.graph.node if _puts_in_order(model, node)]
    answers = _answers(model)
    count = len(pieces) - 1
    inputs = dict(zip(pieces, heads_inputs(count), strict=True))
    dense = [*levels, *answers["rpn", "objectness"], *answers["rpn", "deltas"]]
    boxes = zip(answers["box", "classes"], answers["box", "deltas"], strict=True)
    heads = [*(name for pair in boxes for name in pair), *answers["mask", "classes"]]
    names = [name for found in heads_outputs(count).values() for name in found]
    if len(heads) < len(names) and len(answers["box", "classes"]) == count:
        raise ExportError(
            f"mask heads of equal weights are one in the graph: it has {len(answers['mask', 'classes'])} of"
            f" {count}",
            hint="Take openvino or onnxruntime, or a cascade whose heads were trained.",
        )
    if len(dense) != len(DENSE_OUTPUTS) or len(heads) != len(names):
        raise ExportError(
            f"the graph has {len(dense)} values behind its dense part, and {len(heads)} behind its heads",
            hint="It was made for another target: export or quantize the detector with --target tensorrt.",
        )
    return DetectorParts(
        _extracted(
            model, {INPUT: INPUT}, dict(zip(dense, DENSE_OUTPUTS, strict=True)), {INPUT: DENSE_OUTPUTS}
        ),
        _extracted(model, inputs, dict(zip(heads, names, strict=True)), heads_outputs(count)),
        *_counts(model),
    )


def _puts_in_order(model: ModelProto, node: NodeProto) -> bool:
    """Return whether a node puts pieces of all levels into the order of their boxes."""
    if node.op_type != "Gather":
        return False
    joined = producer(model, node.input[0])
    if joined is None or joined.op_type != "Concat":
        return False
    made = producer(model, joined.input[0])
    return made is not None and made.op_type == "RoiAlign"


def _answers(model: ModelProto) -> dict[tuple[str, str], list[str]]:
    """Return the values that layers answer with, in the order of the graph, by their head and what they tell.

    Layers of equal weights share one weight, and its name. The linear layers of a box head are products of
    matrices: in other forms, boxes are not the first axis of what they give.
    """
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for node in model.graph.node:
        match = ANSWER.fullmatch(weight_name(model, node)) if is_multiplication(model, node) else None
        if match and (match[1] != "box" or node.op_type == "MatMul"):
            told = BOTH if match[2] in ("answers", "+".join(BOTH)) else (match[2],)
            values = [_with_bias(model, node)] if len(told) == 1 else _slices(model, node)
            for name, value in zip(told, values, strict=True):
                found[match[1], name].append(value)
    return found


def _slices(model: ModelProto, node: NodeProto) -> list[str]:
    """Return the names of what the channels of a layer are cut into, in the order of these."""
    constants = initializers(model)
    cuts = [user for user in consumers(model, node.output[0]) if user.op_type == "Slice"]
    starts = {cut.output[0]: numpy_helper.to_array(constants[cut.input[1]]).item() for cut in cuts}
    return sorted(starts, key=lambda name: starts[name])


def _with_bias(model: ModelProto, node: NodeProto) -> str:
    """Return the name of what a layer gives: a MatMul has its bias behind it."""
    users = consumers(model, node.output[0])
    added = len(users) == 1 and users[0].op_type == "Add" and node.op_type == "MatMul"
    return str(users[0].output[0] if added else node.output[0])


def _counts(model: ModelProto) -> tuple[int, int]:
    """Return how many boxes of an image the box heads and the mask heads look at.

    The last TopK chooses the detections, the one before it the proposals of all levels.
    """
    constants = initializers(model)
    counts = [constants[node.input[1]] for node in model.graph.node if node.op_type == "TopK"]
    proposals, detections = (int(numpy_helper.to_array(count)[0]) for count in counts[-2:])
    return proposals, detections


def _extracted(
    model: ModelProto,
    inputs: dict[str, str],
    outputs: dict[str, str],
    answers: Mapping[str, Sequence[str]],
) -> ModelProto:
    """Return the part of a graph between values, which get new names.

    answers: outputs whose first axis is that of an input, by the new names. Each input has its own.
    """
    part = onnx.utils.Extractor(model).extract_model(list(inputs), list(outputs))
    names = inputs | outputs
    for node in part.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    del part.graph.value_info[:]  # whose axes have names of the whole graph
    axes = {output: name for name, found in answers.items() for output in found}
    for value in [*part.graph.input, *part.graph.output]:
        value.name = names[value.name]
        axis = axes.get(value.name, value.name)
        value.type.tensor_type.shape.dim[0].dim_param = BATCH if axis == INPUT else f"{axis}_count"
    return part
