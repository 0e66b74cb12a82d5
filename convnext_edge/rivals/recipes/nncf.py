"""NNCF: quantizing a model of OpenVINO's after training."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino

from convnext_edge.rivals.rival import Given


def quantize(given: Given, folder: Path, *, transformer: bool = False) -> Path:
    """Quantize with the defaults, or with the preset for transformers, on all images (its default: 300)."""
    preset: dict[str, Any] = {"model_type": nncf.ModelType.TRANSFORMER} if transformer else {}
    images = given.images()
    model = openvino.convert_model(given.onnx)
    made = nncf.quantize(model, nncf.Dataset(list(images[:, None])), subset_size=len(images), **preset)
    return save(made, folder)


def with_accuracy_control(given: Given, folder: Path, *, max_drop: float = 0.01) -> Path:
    """Quantize, and put back into float what costs accuracy.

    Accuracy is here how many calibration images have the class that the FP32 model gives them, as images need
    not have labels.
    """
    images = given.images()
    model = openvino.convert_model(given.onnx)
    right = answers(openvino.compile_model(model, "CPU"), images)

    def accuracy(compiled: Any, _images: Iterable[Any]) -> float:
        return float((answers(compiled, images) == right).mean())

    dataset = nncf.Dataset(list(images[:, None]))
    made = nncf.quantize_with_accuracy_control(
        model, dataset, dataset, accuracy, subset_size=len(images), max_drop=max_drop
    )
    return save(made, folder)


def answers(compiled: Any, images: Any) -> Any:
    """Return the class of each image by a compiled model."""
    return np.array([compiled(image[None])[0].argmax() for image in images])


def save(model: Any, folder: Path) -> Path:
    """Write OpenVINO IR; what is left in float stays FP32, as the default of FP16 is none of NNCF's doing."""
    path = folder / "nncf.xml"
    openvino.save_model(model, path, compress_to_fp16=False)
    return path
