"""What users of NNCF and ONNX Runtime do to quantize an exported model, straight from the documentation.

NNCF: https://docs.openvino.ai/2025/openvino-workflow/model-optimization-guide/quantizing-models-post-training/basic-quantization-flow.html
ONNX Runtime: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.quiet import quiet

Images = Sequence[NDArray[np.float32]]  # (1, 3, H, W) each


def calibration_images(images: ImageSet, preprocessing: Preprocessing) -> Images:
    """The images one by one, as both documentations feed them."""
    batches = images.batches(preprocessing, batch=1, dtype="float32")
    return [np.asarray(batch.images, np.float32) for batch in batches]


def nncf_quantize(plain: Path, images: Images, output: Path, *, transformer: bool = False) -> Path:
    """`nncf.quantize` with its defaults, or with its preset for transformers; writes OpenVINO IR.

    plain: the exported ONNX file. All images are used; NNCF by itself stops at 300.
    """
    preset: dict[str, Any] = {"model_type": nncf.ModelType.TRANSFORMER} if transformer else {}
    with quiet():
        model = openvino.convert_model(plain)
        quantized = nncf.quantize(model, nncf.Dataset(images), subset_size=len(images), **preset)
    # the default would also round to FP16 what NNCF left float, which is none of its doing
    openvino.save_model(quantized, output, compress_to_fp16=False)
    return output


def ort_quantize(plain: Path, images: Images, output: Path, *, per_channel: bool = False) -> Path:
    """`quantize_static` with its defaults (Q/DQ, min-max ranges), behind the pre-processing it asks for.

    Its symbolic shape inference fails with a TypeError at the means of GRN, and otherwise at a segmenter's
    pooling; then, by its option, it goes without. It leaves files in the current folder.
    """
    plain, output = plain.resolve(), output.resolve()
    with tempfile.TemporaryDirectory() as folder, chdir(folder), quiet():
        prepared = Path(folder) / plain.name
        try:
            quant_pre_process(str(plain), str(prepared))
        except Exception:  # whatever it is, the shapes that ONNX infers are enough
            quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        quantize_static(str(prepared), str(output), Reader("image", images), per_channel=per_channel)
    return output


class Reader(CalibrationDataReader):  # type: ignore[misc]  # it has no types
    """Hands one image after the other to ONNX Runtime."""

    def __init__(self, name: str, images: Images) -> None:
        self.name, self.remaining = name, iter(images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        image = next(self.remaining, None)
        return None if image is None else {self.name: image}
