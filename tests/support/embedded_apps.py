"""What the tests of embedded pages and mobile applications share: sizes of images, and damaged folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from support.embedded import MANIFEST
from support.models import RESOLUTION

from convnext_edge.commands.embed.bundle import apart_from_format_1
from convnext_edge.images.preprocessing import Preprocessing, ResizeMode

# Width and height: tiny, odd, and long either way, so that rows or columns are resized first.
SIZES = [
    (1, 1),
    (1, 7),
    (9, 1),
    (2, 3),
    (32, 32),
    (31, 33),
    (73, 73),
    (90, 400),
    (224, 31),
    (301, 500),
    (640, 427),
    (45, 640),
]
ANDROID_ASSETS = Path("classifier") / "src" / "main" / "assets"  # of the Gradle project
FILTERS = ("bicubic", "bilinear", "box", "hamming", "lanczos")
CROPS = (1.0, 0.875, 0.6)
# Inputs that are not square, and images that are squashed or cropped against the rule of crop 1
FRAMES: list[dict[str, Any]] = [
    {"crop": 0.875, "width": 48},
    {"crop": 0.6, "width": 21},
    {"crop": 1.0, "width": 48, "resize_mode": "squash"},
    {"crop": 1.0, "width": 48},
    {"crop": 1.0},
    {"crop": 0.875, "resize_mode": "squash"},
    {"crop": 0.9, "crop_rounding": "floor", "interpolation": "bilinear"},
    {"crop": 0.9, "resampler": "pytorch", "crop_rounding": "floor"},
    {"crop": 1.0, "resampler": "pytorch", "interpolation": "bilinear", "resize_mode": "squash"},
    {"crop": 64 / 71, "resize": 71, "interpolation": "bilinear"},
    {"crop": 1.0, "resize_mode": "pad", "pad_color": (255, 0, 7)},
    {"crop": 0.875, "resize_mode": "pad", "pad_color": (9, 9, 9), "width": 48, "interpolation": "lanczos"},
    {"crop": 0.6, "interpolation": "nearest"},
    {
        "crop": 1.0,
        "resize_mode": "corner",
        "pad_color": (124, 116, 104),
        "interpolation": "bilinear",
        "width": 48,
    },
    {"crop": 0.8, "resize_mode": "corner"},
]
DETECTIONS = "boxes labels scores masks"
ZEROS = 64 * "0"
NO_PLAIN_NAMES = ("..", ".", "../up", "a/b", "a\\b", "/root", "C:drive", "bell\a", "\u0085", 200 * "x", "")
# What all four readers refuse alike
BOUNDED_MANIFESTS: list[tuple[dict[str, str], str]] = [
    *(({"file": f"{ZEROS} {name}"}, f"is damaged: file is '{ZEROS} {name}'") for name in NO_PLAIN_NAMES),
    ({"resolution": "64\nresolution 64"}, "is damaged: it has resolution twice"),
    ({"version": 2**20 * "1"}, "is damaged: it has more than 1048576 bytes"),
    ({"mean": "0.5 -1.0 0.5"}, "mean or std are out of range"),
    ({"std": "0.2 0.2 0.0"}, "mean or std are out of range"),
    ({"input": "float16"}, "is damaged: input is 'float16'"),
    ({"resolution": "64 64"}, "is damaged: resolution is '64 64'"),
    ({"resolution": "0x40"}, "is damaged: resolution is '0x40'"),
    ({"mean": "0.5 0.5 0.5 0.5"}, "is damaged: mean is '0.5 0.5 0.5 0.5'"),
    ({"task": "paint"}, "task 'paint' is not known"),
    ({"task": "embed"}, "is damaged: outputs is 'logits'"),
    ({"task": "features", "outputs": "map0 map0"}, "is damaged: outputs is 'map0 map0'"),
    ({"task": "embed", "outputs": "embedding map"}, "resolution, crop, resize or classes are out of range"),
    ({"crop": "1.0\nsquash no"}, "is damaged: squash is 'no'"),
    ({"resolution": "64\nwidth 0"}, "out of range"),
    ({"crop": "1.0\nresize_mode tile"}, "is damaged: resize_mode is 'tile'"),
    ({"crop": "1.0\nresize_mode pad\nresize 3"}, "out of range"),
    ({"crop": "1.0\nresize_mode pad\npad_color 0 0 256"}, "out of range"),
    ({"crop": "1.0\nresize_mode pad\npad_color 0 0"}, "is damaged: pad_color is '0 0'"),
    ({"crop": "1.0\nresize_mode pad\ncrop_rounding up"}, "is damaged: crop_rounding is 'up'"),
    ({"crop": "1.0\nresize_mode pad\nresampler opencv"}, "is damaged: resampler is 'opencv'"),
    ({"crop": "1.0\nexif yes"}, "is damaged: exif is 'yes'"),
    ({"task": "detect", "outputs": "boxes labels scores"}, "is damaged: outputs is 'boxes labels scores'"),
    ({"task": "detect", "outputs": DETECTIONS}, "is damaged: it has no first_label"),
    (
        {"task": "detect", "outputs": DETECTIONS, "crop": "1.0\nfirst_label 2\ndetections 5"},
        "is damaged: first_label or detections are out of range",
    ),
]
DAMAGED_MANIFESTS = [
    ({"format": "5"}, "has format 5, this version reads 1 to 4"),
    ({"resolution": "many"}, "is damaged: resolution is 'many'"),
    ({"resolution": ""}, "is damaged: resolution is ''"),
    ({"resolution": "-3"}, "out of range"),
    ({"resolution": "1.5"}, "is damaged: resolution"),
    ({"crop": "1e-300"}, "out of range"),
    ({"mean": "0.5 0.5"}, "is damaged: mean is '0.5 0.5'"),
    ({"interpolation": "cubist"}, "interpolation 'cubist' is not known"),
    ({"runtime": "openvino"}, "is an engine for openvino"),
    ({"engine": "other.onnx"}, "has no digest of other.onnx"),
    ({"file": "00 ../../elsewhere"}, "is damaged: file is '00 ../../elsewhere'"),
    *BOUNDED_MANIFESTS,
]


def early(resolution: int, crop: float, interpolation: str) -> Preprocessing:
    """What a manifest of format 1 tells: a crop of 1 squashes."""
    mode: ResizeMode = "squash" if crop == 1 else "center"
    return Preprocessing(resolution, crop, interpolation, resize_mode=mode)


def frame_lines(keys: dict[str, Any]) -> dict[str, str]:
    """Of a frame, the crop in a manifest, with the lines behind it that the others need, and the filter."""
    prepared = Preprocessing(RESOLUTION, **keys)
    more = apart_from_format_1(prepared)
    crop = "\n".join([repr(prepared.crop), *(f"{key} {value}" for key, value in more.items())])
    return {"crop": crop, "interpolation": prepared.interpolation}


def as_for(target: str, engine: Path, place: Path) -> Path:
    """A copy of an engine whose sidecar says that it is for another target, and its runtime's."""
    sidecar = read_sidecar(engine)
    return with_sidecar(engine, place, target=target, engine=sidecar["engine"] | {"runtime": target})


def read_sidecar(engine: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.with_name(f"{engine.name}.json").read_text())
    return found


def with_sidecar(original: Path, place: Path, /, **values: object) -> Path:
    """A copy of an engine in which keys of the sidecar have other values."""
    copy = place / original.name
    shutil.copy(original, copy)
    copy.with_name(f"{copy.name}.json").write_text(json.dumps(read_sidecar(original) | values))
    return copy


def with_manifest(model: Path, copy: Path, **values: object) -> Path:
    """A copy of a model's folder in which keys of the manifest have other values."""
    shutil.copytree(model, copy)
    lines = (copy / MANIFEST).read_text().splitlines()
    edited = [f"{key} {values.get(key, rest)}" for key, _, rest in (line.partition(" ") for line in lines)]
    (copy / MANIFEST).write_text("\n".join(edited) + "\n")
    return copy
