"""AMD Quark: quantizing ONNX by one of its default configurations."""

from __future__ import annotations

from pathlib import Path

from quark.onnx import ModelQuantizer, QConfig

from convnext_edge.rivals.recipes.onnxruntime import Reader
from convnext_edge.rivals.rival import Given


def quantize(given: Given, folder: Path, *, config: str) -> Path:
    """Quantize by the default configuration of a name, as "INT8_CNN_DEFAULT"."""
    path = folder / "quark.onnx"
    quantizer = ModelQuantizer(QConfig.get_default_config(config))
    quantizer.quantize_model(str(given.onnx), str(path), calibration_data_reader=Reader(given))
    return path
