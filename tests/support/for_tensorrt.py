"""What the tests of TensorRT share: what is installed here, GPUs that are not, and types of a graph."""

from __future__ import annotations

from importlib import util

import onnx
import pytest
from onnx import ModelProto

from convnext_edge.targets.tensorrt import target as tensorrt
from convnext_edge.targets.tensorrt.cuda import Gpu, NoGpu

HERE = util.find_spec("tensorrt_rtx") is not None
RTX = "tensorrt-rtx"
ADA = Gpu("some RTX 4090", "8.9")


def use_gpu(monkeypatch: pytest.MonkeyPatch, gpu: Gpu | NoGpu) -> None:
    """Let the target find this GPU, or none."""
    monkeypatch.setattr(tensorrt, "find_gpu", lambda: gpu)


def types(model: ModelProto) -> dict[str, int]:
    """Element type of every value."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = [*inferred.input, *inferred.output, *inferred.value_info]
    constants = {tensor.name: tensor.data_type for tensor in inferred.initializer}
    return constants | {value.name: value.type.tensor_type.elem_type for value in values}
