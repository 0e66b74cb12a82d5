"""Quantizing by optimum-intel: its quantizer over a model of OpenVINO's, as transformers' users have it."""

from __future__ import annotations

import json
from pathlib import Path

import nncf
import openvino
from optimum.intel import OVConfig, OVModelForImageClassification, OVQuantizationConfig, OVQuantizer

from convnext_edge.rivals.rival import Given

INPUT = "pixel_values"  # as transformers calls it


def quantize(given: Given, folder: Path) -> Path:
    """Quantize with the default configuration of OVQuantizer."""
    model = openvino.convert_model(given.onnx)
    model.input(0).get_tensor().set_names({INPUT})
    model.output(0).get_tensor().set_names({"logits"})
    source = folder / "fp32"
    source.mkdir()
    openvino.save_model(model, source / "openvino_model.xml", compress_to_fp16=False)
    config = {"model_type": "convnext", "architectures": ["ConvNextForImageClassification"]}
    (source / "config.json").write_text(json.dumps(config))
    quantizer = OVQuantizer.from_pretrained(
        OVModelForImageClassification.from_pretrained(source, compile=False)
    )
    images = given.images().copy()
    quantizer.quantize(
        calibration_dataset=nncf.Dataset([{INPUT: image[None]} for image in images]),
        ov_config=OVConfig(quantization_config=OVQuantizationConfig(num_samples=len(images))),
        save_directory=folder,
    )
    return folder / "openvino_model.xml"
