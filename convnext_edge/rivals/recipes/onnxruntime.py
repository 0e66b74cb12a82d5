"""ONNX Runtime: its own quantizer, and a session with its default options."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from convnext_edge.rivals.rival import Call, Given, Images


class Reader(CalibrationDataReader):  # type: ignore[misc]  # it has no types
    """Hands one image after the other to a quantizer."""

    def __init__(self, given: Given) -> None:
        self.name, self.images = given.input_name, given.images()
        self.rewind()

    def get_next(self) -> dict[str, Images] | None:
        """Return the next image by the name of the input; None behind the last."""
        image = next(self.remaining, None)
        return None if image is None else {self.name: image[None]}

    def rewind(self) -> None:
        """Begin again with the first image."""
        self.remaining = iter(self.images)


def keep(given: Given, _folder: Path) -> Path:
    """Return the exported model as it is."""
    return given.onnx


def static(
    given: Given,
    folder: Path,
    *,
    per_channel: bool = False,
    reduce_range: bool = False,
    entropy: bool = False,
    unsigned: bool = False,
) -> Path:
    """Quantize statically (Q/DQ), behind the pre-processing that the documentation asks for.

    unsigned: activations in uint8 (U8S8) in place of the default, int8 (S8S8).
    """
    output = folder / "static.onnx"
    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(str(given.onnx), str(prepared))
        quantize_static(
            str(prepared),
            str(output),
            Reader(given),
            per_channel=per_channel,
            reduce_range=reduce_range,
            calibrate_method=CalibrationMethod.Entropy if entropy else CalibrationMethod.MinMax,
            activation_type=QuantType.QUInt8 if unsigned else QuantType.QInt8,
        )
    return output


def dynamic(given: Given, folder: Path, *, operators: list[str] | None = None) -> Path:
    """Quantize weights; the runtime finds the ranges of activations as it runs. operators: by default all."""
    output = folder / "dynamic.onnx"
    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(str(given.onnx), str(prepared))
        quantize_dynamic(str(prepared), str(output), op_types_to_quantize=operators)
    return output


def run(path: Path, threads: int) -> Call:
    """Open a session with the default options."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]
