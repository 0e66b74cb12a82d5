"""Commands of segmenters, detectors and grids, to be killed as those of `killing`; `predict` draws, too."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from support.detectors import CHECKPOINT as DETECTOR
from support.image_sets import save_tiles
from support.killing import APP, DRAWN, SAVED
from support.models import CHECKPOINT
from support.places import TESTS

SEGMENTER = TESTS / "fixtures" / "segmentation" / "hf_upernet"
SIZE = (90, 60)  # of a picture
FEW = ["--candidates", "40", "--proposals", "20", "--max-detections", "5"]
GRID = """checkpoints = ["{checkpoint}"]
resolutions = [32]
methods = ["fp32"]
targets = ["openvino", "onnxruntime"]
[images]
calib = "{photos}"
data = "{photos}"
samples = 4
limit = 4
[timing]
runs = 1
"""


def dense_commands(photos: Path) -> dict[str, list[str]]:
    """Return the commands by name, each after those it needs. photos: pictures in folders of classes."""
    scenes, grid = draw_scenes(photos.parent / "scenes"), photos.parent / "grid.toml"
    grid.write_text(GRID.format(checkpoint=CHECKPOINT, photos=photos))
    shown = [str(scenes), "--maps", DRAWN]
    lines = {
        "export detect": [
            *("export", "--checkpoint", str(DETECTOR), "--resolution", "64x96"),
            *(*FEW, "-o", "work/detector.onnx"),
        ],
        "build detect": ["build", "work/detector.onnx", "--target", "onnxruntime", "-o", "work/d.opt.onnx"],
        "predict detect": ["predict", "work/detector.onnx", *shown, "--threshold", "0.1", "--save", SAVED],
        "validate detect": ["validate", "work/detector.onnx", "--data", str(scenes)],
        "embed detect": ["embed", "work/d.opt.onnx", "--lang", "cpp", "-o", APP],
        "export segment": [
            *("export", "--checkpoint", str(SEGMENTER), "--resolution", "64x64"),
            *("--label-zero", "none", "-o", "work/segmenter.onnx"),
        ],
        "predict segment": ["predict", "work/segmenter.onnx", *shown],
        "validate segment": ["validate", "work/segmenter.onnx", "--data", str(scenes)],
        "grid": ["compare", "--grid", str(grid)],
        "report": ["report"],
    }
    return {name: [*line, "--workspace", "work"] for name, line in lines.items()}


def draw_scenes(folder: Path) -> Path:
    """Draw three pictures with objects in COCO's format beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    rows, objects = [], []
    for number in range(3):
        save_tiles(folder / f"{number}.png", random, SIZE)
        rows.append({"id": number, "file_name": f"{number}.png", "width": SIZE[0], "height": SIZE[1]})
        objects.append({"image_id": number, "category_id": 1 + number, "bbox": [5, 5, 40, 30]})
    categories = [{"id": 1 + number, "name": name} for number, name in enumerate(("cat", "dog", "bird"))]
    told = {"images": rows, "annotations": objects, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(told))
    return folder
