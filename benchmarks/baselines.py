"""What users of NNCF and ONNX Runtime do to quantize an exported model, straight from their documentation.

NNCF: https://docs.openvino.ai/2026/openvino-workflow/model-optimization-guide/quantizing-models-post-training/basic-quantization-flow.html
ONNX Runtime: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from convnext_edge.quiet import quiet

Images = Sequence[NDArray[np.float32]]  # (1, 3, H, W) each


def nncf_quantize(plain: Path, images: Images, output: Path, *, transformer: bool = False) -> None:
    """`nncf.quantize` with defaults, or with the preset for transformers; writes OpenVINO IR.

    plain: the exported ONNX file. All images are used, where NNCF would stop at 300.
    """
    options: dict[str, Any] = {"model_type": nncf.ModelType.TRANSFORMER} if transformer else {}
    with quiet():
        model = openvino.convert_model(plain)
        model = nncf.quantize(model, nncf.Dataset(images), subset_size=len(images), **options)
    # by default, FP16 would round what NNCF left float: it is not to blame for that
    openvino.save_model(model, output, compress_to_fp16=False)


def ort_quantize(plain: Path, images: Images, output: Path, *, per_channel: bool = False) -> None:
    """`quantize_static` with defaults (QDQ, min-max), behind the pre-processing that it asks for."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        prepared = Path(folder) / plain.name
        quant_pre_process(str(plain), str(prepared))
        quantize_static(str(prepared), str(output), Reader("image", images), per_channel=per_channel)


class Reader(CalibrationDataReader):
    """Hands one image after the other to ONNX Runtime."""

    def __init__(self, name: str, images: Images) -> None:
        self.name, self.remaining = name, iter(images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        images = next(self.remaining, None)
        return None if images is None else {self.name: images}
