"""What a model file says of itself, so that a server that has nothing but the file prepares images rightly.

A text at each path of two words, the section and the key. OpenVINO keeps them as `rt_info`; ONNX files as
`metadata_props` whose keys are the two words with a space between, as OpenVINO's Model API reads them.

model_info       what Model API makes its wrapper of. Of its ways to resize, the nearest is named: it has
                 neither a crop of a part nor Pillow's filters
runtime_options  what OpenVINO is to be told when it compiles the model, as we do when we validate it. The
                 plugin for CPUs takes some of them by itself, and not the precision
convnext_edge    all of it, as a sidecar has it
"""

from __future__ import annotations

import json
from typing import Any

from convnext_edge.artifacts.artifact import Description
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.way import way
from convnext_edge.tasks import output_names

Metadata = dict[tuple[str, str], str]

# An engine must not fall to bfloat16 by itself where a CPU offers it (f32), nor quantize the activations that
# meet compressed weights (0: no group).
OPENVINO_OPTIONS = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
RESIZE_TYPES = {
    "squash": "standard",
    "center": "crop",
    "pad": "fit_to_window_letterbox",
    "corner": "fit_to_window",
}  # of Model API
INTERPOLATIONS = {"nearest": "NEAREST", "bilinear": "LINEAR", "bicubic": "CUBIC"}  # likewise
SECTIONS = ("model_info", "runtime_options", "convnext_edge")
CLASSIFIERS = ("classify", "multilabel")


def metadata(described: Description) -> Metadata:
    """Return what a file of the model says of itself, by section and key."""
    sections = zip(SECTIONS, (model_info(described), OPENVINO_OPTIONS, own(described)), strict=True)
    return {(section, key): value for section, values in sections for key, value in values.items()}


def own(described: Description) -> dict[str, str]:
    """Return our own section: words, and JSON where a value is no word."""
    return {
        "task": described.task,
        "outputs": " ".join(output_names(described.task, described.architecture)),
        "labels": _json(list(described.classes)),
        "input": described.input_type,
        "images": way(described.preprocessing),
        "preprocessing": _json(described.preprocessing.to_json()),
    }


def model_info(described: Description) -> dict[str, str]:
    """Return the section of OpenVINO's Model API, whose lists have spaces between their values."""
    prepared = described.preprocessing
    info = {
        "resize_type": RESIZE_TYPES[prepared.resize_mode],
        "reverse_input_channels": "False",
        **({} if described.input_type == "uint8" else scaling(prepared)),
    }
    if prepared.interpolation in INTERPOLATIONS:
        info["interpolation_mode"] = INTERPOLATIONS[prepared.interpolation]
    if prepared.resize_mode in ("pad", "corner") and len(set(prepared.padding)) == 1:
        info["pad_value"] = str(prepared.padding[0])
    if described.task in CLASSIFIERS:
        info |= {"model_type": "Classification", "multilabel": str(described.task == "multilabel")}
    if described.task == "segment":
        info["model_type"] = "Segmentation"
    if described.classes:
        info["labels"] = " ".join("_".join(name.split()) or "_" for name in described.classes)
    return info


def scaling(prepared: Preprocessing) -> dict[str, str]:
    """Return what is taken from pixels in 0..255, and what they are then divided by."""
    named = {"mean_values": prepared.mean, "scale_values": prepared.std}
    return {key: " ".join(f"{255 * value:.9g}" for value in values) for key, values in named.items()}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
