"""An ONNX graph whose floats of other widths are float32, so that what it computes is not what it rounds."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper

OTHER = (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def in_float32(model: ModelProto) -> ModelProto:
    """Return a copy of a graph in which every float is a float32."""
    result = ModelProto()
    result.CopyFrom(model)
    for tensor in result.graph.initializer:
        _widen(tensor)
    for node in result.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _widen(attribute.t)
            if attribute.name == "to" and attribute.i in OTHER:
                attribute.i = TensorProto.FLOAT
    for value in [*result.graph.input, *result.graph.output, *result.graph.value_info]:
        if value.type.tensor_type.elem_type in OTHER:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    return result


def has_other_floats(model: ModelProto) -> bool:
    """Return whether a graph computes in floats of other widths."""
    attributes = (attribute for node in model.graph.node for attribute in node.attribute)
    held = [*model.graph.initializer, *(attribute.t for attribute in attributes)]
    wide = any(tensor.data_type in OTHER for tensor in held)
    return wide or any(value.type.tensor_type.elem_type in OTHER for value in model.graph.input)


def _widen(tensor: TensorProto) -> None:
    if tensor.data_type in OTHER:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
