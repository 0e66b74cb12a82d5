"""ONNX files: what is none is refused by an error of ours, and weights may be left out of the reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from convnext_edge.errors import TargetError
from convnext_edge.onnx_graph.files import load, save, weight_bytes


def model_of(weight: np.ndarray) -> onnx.ModelProto:
    """image + weight."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in ("image", "logits")]
    node = helper.make_node("Add", ["image", "weight"], ["logits"])
    graph = helper.make_graph(
        [node], "sum", values[:1], values[1:], [numpy_helper.from_array(weight, "weight")]
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])


@pytest.mark.parametrize("content", [b"no graph", None], ids=["no graph", "no file"])
def test_what_is_no_onnx_file_is_said(tmp_path: Path, content: bytes | None) -> None:
    broken = tmp_path / "broken.onnx"
    if content is not None:
        broken.write_bytes(content)
    with pytest.raises(TargetError, match=f"cannot read {broken} as ONNX"):
        load(broken)


def test_a_model_is_read_as_it_was_saved(tmp_path: Path) -> None:
    model = model_of(np.arange(6, dtype=np.float32).reshape(2, 3))
    save(model, tmp_path / "model.onnx")
    assert load(tmp_path / "model.onnx") == model
    assert weight_bytes(model) == 6 * 4


def test_weights_in_a_companion_are_read_where_they_are_wanted(tmp_path: Path) -> None:
    model = model_of(np.ones((2, 3), np.float32))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    assert weight_bytes(load(tmp_path / "m.onnx")) == 6 * 4
    assert weight_bytes(load(tmp_path / "m.onnx", weights=False)) == 0
