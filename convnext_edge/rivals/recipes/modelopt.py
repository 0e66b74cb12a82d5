"""NVIDIA ModelOpt: quantizing ONNX, with Q/DQ nodes where TensorRT wants them."""

from __future__ import annotations

from pathlib import Path

from modelopt.onnx.quantization import quantize as quantize_onnx

from convnext_edge.rivals.rival import Given


def quantize(
    given: Given, folder: Path, *, float_type: str = "fp16", calibration_method: str | None = None
) -> Path:
    """Quantize to INT8.

    float_type: of what is left in float. calibration_method: "entropy" by default, or "max".
    """
    path = folder / "modelopt.onnx"
    quantize_onnx(
        str(given.onnx),
        quantize_mode="int8",
        calibration_data={given.input_name: given.images().copy()},
        calibration_method=calibration_method,
        calibration_eps=["cpu"],
        high_precision_dtype=float_type,
        output_path=str(path),
    )
    return path
