"""Olive: its pass for static quantization with ONNX Runtime, and what its command does without images."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import olive

from convnext_edge.rivals.rival import Given


def static(given: Given, folder: Path) -> Path:
    """Run a workflow with the pass OnnxStaticQuantization and its defaults."""
    images = given.images()
    with tempfile.TemporaryDirectory() as raw:
        for number, image in enumerate(images):
            file = Path(raw) / given.input_name / f"{number:05}.bin"
            file.parent.mkdir(exist_ok=True)
            image.tofile(file)
        data = {
            "name": "rival_images",
            "type": "RawDataContainer",
            "load_dataset_config": {
                "params": {
                    "data_dir": raw,
                    "input_names": [given.input_name],
                    "input_shapes": [[1, *images.shape[1:]]],
                }
            },
        }
        quantize = {"type": "OnnxStaticQuantization", "data_config": "rival_images"}
        found = olive.run(workflow(given, folder, quantize, data_configs=[data]))
    return only_model(found, folder)


def dynamic(given: Given, folder: Path) -> Path:
    """Run what `olive quantize --precision int8 --implementation ort` does where it is given no images."""
    quantize = {"type": "OnnxDynamicQuantization", "precision": "int8", "quant_format": "QOperator"}
    return only_model(olive.run(workflow(given, folder, quantize)), folder)


def workflow(given: Given, folder: Path, quantize: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the configuration of a workflow of one pass."""
    return {
        "input_model": {"type": "OnnxModel", "model_path": str(given.onnx)},
        "passes": {"quantize": quantize},
        "output_dir": str(folder / "olive"),
        "cache_dir": str(folder / "cache"),
        **more,
    }


def only_model(found: Any, folder: Path) -> Path:
    """Return the model that a workflow ended with, under a name of its own."""
    made = found.get_best_candidate()
    return Path(shutil.copy(made.model_path, folder / "quantized.onnx"))
