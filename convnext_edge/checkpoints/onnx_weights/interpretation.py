"""A walk over the nodes of an ONNX graph that says in terms what each computes of the image."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from convnext_edge.checkpoints.onnx_weights.constants import fold
from convnext_edge.checkpoints.onnx_weights.moves import MOVES, dimensions
from convnext_edge.checkpoints.onnx_weights.nodes import NotUnderstoodError, readable, title
from convnext_edge.checkpoints.onnx_weights.operators import OPERATORS
from convnext_edge.checkpoints.onnx_weights.rules import RULES
from convnext_edge.checkpoints.onnx_weights.terms import Algebra, Term
from convnext_edge.checkpoints.onnx_weights.values import Atom, LayoutError, Value
from convnext_edge.errors import CheckpointError
from convnext_edge.images.preprocessing import MAX_CHANNELS

FREE_EDGE = 256  # pixels that an image of any size is taken to have
LARGEST_EDGE = 4096
FREE_BATCH = 2
TYPES: dict[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.BFLOAT16: "bfloat16",
    TensorProto.DOUBLE: "float64",
    TensorProto.UINT8: "uint8",
}
FLOAT_HINT = "Give the float model that it was made from."
QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul")
INTEGER = ("ConvInteger", "MatMulInteger")
SUPPORTED = (
    "Read are graphs of a ConvNeXt as PyTorch's exporters write them, without what comes behind its head."
    " Export it again with torch.onnx.export, or give the weights themselves."
)


@dataclass(frozen=True)
class Image:
    """The input of a graph."""

    name: str
    kind: str  # type of its numbers, as "float32" or "uint8"
    batch: int | None  # None where any number of images is taken
    channels: int
    size: tuple[int, int] | None  # rows and columns; None where an image may have any size


@dataclass(frozen=True)
class Reading:
    """What a graph computes."""

    image: Image
    outputs: dict[str, Value]
    algebra: Algebra
    made: dict[Term, tuple[str, Value]]  # the ONNX value that first held a term


def interpret(model: ModelProto, where: str) -> Reading:
    """Say in terms what a graph computes; raise CheckpointError for the first node that is not understood."""
    _check_operators(model, where)
    image = find_image(model, where)
    algebra = Algebra(RULES)
    rows, columns = image.size or (FREE_EDGE, FREE_EDGE)
    sizes = (image.batch or FREE_BATCH, image.channels, rows, columns)
    first = Value(
        algebra.image(), tuple((Atom(label, size),) for label, size in zip("nchw", sizes, strict=True))
    )
    values: dict[str, Any] = {image.name: first}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    made: dict[Term, tuple[str, Value]] = {}
    for node in in_order(model, where):
        algebra.origin = title(node)
        try:
            inputs = [_value(name, values, constants) for name in node.input]
            found = _compute(algebra, node, inputs)
        except LayoutError as error:
            raise _refused(node, f"reads a value {error}", where) from error
        except NotUnderstoodError as error:
            raise _refused(node, str(error), where) from error
        values[node.output[0]] = found
        if isinstance(found, Value):
            made.setdefault(found.term, (node.output[0], found))
    return Reading(image, _outputs(model, values, where), algebra, made)


def in_order(model: ModelProto, where: str) -> list[NodeProto]:
    """Return the nodes so that each stands behind those that it reads, as not all converters write them.

    Raises CheckpointError where nodes read each other in a circle.
    """
    makers = {name: index for index, node in enumerate(model.graph.node) for name in node.output if name}
    waiting = [
        {makers[name] for name in node.input if name in makers and makers[name] != index}
        for index, node in enumerate(model.graph.node)
    ]
    readers: dict[int, list[int]] = {}
    for index, read in enumerate(waiting):
        for maker in read:
            readers.setdefault(maker, []).append(index)
    ready = deque(index for index, read in enumerate(waiting) if not read)
    ordered = []
    while ready:
        index = ready.popleft()
        ordered.append(model.graph.node[index])
        for reader in readers.get(index, []):
            waiting[reader].discard(index)
            if not waiting[reader]:
                ready.append(reader)
    if len(ordered) < len(waiting):
        raise CheckpointError(f"{where} has nodes that read each other in a circle", hint=SUPPORTED)
    return ordered


def _compute(algebra: Algebra, node: NodeProto, inputs: list[Any]) -> Any:
    """Return what a node makes: a Value, or a constant where it depends on no image."""
    if any(attribute.HasField("g") for attribute in node.attribute):
        raise NotUnderstoodError("holds a graph of its own")
    if any(node.output[1:]) and node.op_type not in ("Dropout", "LayerNormalization"):
        raise NotUnderstoodError("has several outputs")
    if not any(isinstance(value, Value) for value in inputs):
        folded = fold(node, inputs)
        if folded is None:
            raise NotUnderstoodError("computes something of constants alone that is not known here")
        return folded
    if node.op_type == "Shape":
        return dimensions(node, inputs[0])
    operator = MOVES.get(node.op_type) or OPERATORS.get(node.op_type)
    if operator is None:
        raise NotUnderstoodError("is an operator that no ConvNeXt has")
    if not isinstance(inputs[0], Value) and node.op_type not in (
        "Add",
        "Sub",
        "Mul",
        "Div",
        "MatMul",
        "Concat",
    ):
        raise NotUnderstoodError("reads the image where a constant belongs")
    try:
        return operator(algebra, node, inputs)
    except (ValueError, TypeError, IndexError, ArithmeticError, AttributeError) as error:
        if isinstance(error, LayoutError):
            raise
        raise NotUnderstoodError(f"has inputs or attributes that do not fit: {error}") from error


def _value(name: str, values: dict[str, Any], constants: dict[str, TensorProto]) -> Any:
    if not name:
        return None
    if name not in values:
        tensor = constants.get(name)
        if tensor is None:
            raise NotUnderstoodError(f"reads {name[:100]!r}, which nothing makes")
        try:
            values[name] = numpy_helper.to_array(tensor)
        except Exception as error:  # what numpy and onnx raise depends on where the damage is
            raise NotUnderstoodError(f"reads {name[:100]!r}, which is damaged: {error}") from error
    return values[name]


def _outputs(model: ModelProto, values: dict[str, Any], where: str) -> dict[str, Value]:
    found = {output.name: values.get(output.name) for output in model.graph.output}
    wrong = [name for name, value in found.items() if not isinstance(value, Value)]
    if wrong or not found:
        raise CheckpointError(
            f"{where}: its output {wrong[0] if wrong else ''!r} does not depend on the image", hint=SUPPORTED
        )
    return {name: value for name, value in found.items() if isinstance(value, Value)}


def _refused(node: NodeProto, why: str, where: str) -> CheckpointError:
    return CheckpointError(f"{where} is not understood: {title(node)} {why}", hint=SUPPORTED)


def _check_operators(model: ModelProto, where: str) -> None:
    """Raise CheckpointError for a graph that is quantized, damaged, or holds operators of one runtime."""
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    borders = [*model.graph.input, *model.graph.output, *model.graph.initializer]
    names = [name for node in model.graph.node for name in (node.op_type, *node.input, *node.output)]
    names += [value.name for value in borders]
    if not all(isinstance(name, str) and name.isprintable() for name in names):  # bytes where it is no UTF-8
        raise CheckpointError(f"{where} is damaged: names in its graph are no text", hint=SUPPORTED)
    for node in model.graph.node:
        if node.op_type in QUANTIZED or node.op_type in INTEGER:
            raise CheckpointError(f"{where} is quantized: it holds {title(node)}", hint=FLOAT_HINT)
        if node.domain not in ("", "ai.onnx") or node.op_type not in known:
            raise CheckpointError(
                f"{where} holds {title(node)}, an operator of one runtime: the graph was optimized for it",
                hint="Give the ONNX file from before that.",
            )


def find_image(model: ModelProto, where: str) -> Image:
    """Return the one input of a graph; raise CheckpointError where it is no batch of images."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(readable(value.name) for value in inputs) or "none"
        raise CheckpointError(f"{where} has the inputs {names}, and not one of images", hint=SUPPORTED)
    (found,) = inputs
    tensor = found.type.tensor_type
    kind = TYPES.get(tensor.elem_type)
    dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
    batch, channels, rows, columns = dims if len(dims) == 4 else (None, 0, None, None)
    channels = _channels_of_stem(model) if channels is None else channels
    if kind is None or not 1 <= channels <= MAX_CHANNELS or batch == 0:
        raise CheckpointError(
            f"{where} takes {_text(found)}, not images (N, channels, H, W) of 1 to {MAX_CHANNELS} channels",
            hint=SUPPORTED,
        )
    known = rows is not None or columns is not None
    size = (rows or FREE_EDGE, columns or FREE_EDGE) if known else None
    if size is not None and not (min(size) >= 1 and max(size) <= LARGEST_EDGE):
        raise CheckpointError(
            f"{where} takes images of {size[0]} x {size[1]} pixels; read are edges up to {LARGEST_EDGE}",
            hint=SUPPORTED,
        )
    if batch is not None and batch > 64:
        raise CheckpointError(f"{where} takes {batch} images at once; read are up to 64", hint=SUPPORTED)
    return Image(found.name, kind, batch, channels, size)


def _channels_of_stem(model: ModelProto) -> int:
    """Return what the first convolution takes, where the input does not say its channels, as optimum's do."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        weight = constants.get(node.input[1]) if node.op_type == "Conv" and len(node.input) > 1 else None
        if weight is not None and len(weight.dims) == 4:
            return int(weight.dims[1])
    return 0


def _text(value: ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    dims = [
        str(dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?") for dim in tensor.shape.dim
    ]
    kind = TYPES.get(tensor.elem_type, "no float")
    return f"{value.name!r} of type {kind} and shape ({', '.join(dims)})"
