"""Make the golden cases of `convnext-edge doctor --conformance`: small models and the logits of each.

    python -m benchmarks.make.conformance

The models come from a small ConvNeXt with random weights. The logits are those of the reference evaluator
of the ONNX project. Make them anew only where a case is added: golden values are there to stay as they are.
"""

from __future__ import annotations

import datetime
import json
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
from onnx.reference import ReferenceEvaluator
from PIL import Image

from convnext_edge import export, quantize
from convnext_edge.artifacts.sidecar import sidecar_path
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.cpu import read_cpu
from convnext_edge.evaluation.conformance import Case, pictures
from convnext_edge.images.preprocessing import InputType

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "tests" / "fixtures" / "checkpoints" / "timm_v1.safetensors"
EDGE = 64  # pixels
COUNT = 32  # pictures
CALIBRATION = 64  # other pictures
DIGITS = 7  # behind the point, of a logit


def make_models(folder: Path) -> list[Path]:
    """Write the ONNX file of each case."""
    images = folder / "waves"
    images.mkdir()
    for number, picture in enumerate(pictures(CALIBRATION, EDGE, first=1000)):
        Image.fromarray(picture.transpose(1, 2, 0)).save(images / f"{number:02}.png")

    def exported(name: str, input_type: InputType = "float32") -> Path:
        return export(
            checkpoint=CHECKPOINT,
            resolution=EDGE,
            crop=1.0,
            input_type=input_type,
            workspace=folder,
            output=folder / name,
        ).artifact

    def quantized(model: Path, target: str, name: str) -> Path:
        return quantize(
            model, calib=images, target=target, timing=False, workspace=folder, output=folder / name
        ).artifact

    floats, takes_bytes = exported("fp32.onnx"), exported("bytes.onnx", "uint8")
    return [
        floats,
        quantized(floats, "openvino", "int8-openvino.onnx"),
        quantized(floats, "onnxruntime", "int8-onnxruntime.onnx"),
        quantized(takes_bytes, "openvino", "int8-bytes.onnx"),
    ]


def golden_logits(model: Path) -> list[list[float]]:
    case = Case(model.stem, open_artifact(model), np.zeros((COUNT, 1), np.float32))
    answers = ReferenceEvaluator(str(model)).run(None, {"image": case.images})
    assert isinstance(answers, list), "one for each output"
    return [[round(float(value), DIGITS) for value in row] for row in answers[0]]


def describe() -> dict[str, str]:
    packages = ("convnext-edge", "onnx", "numpy")
    made_with = {package: version(package) for package in packages}
    return {
        "by": "onnx.reference.ReferenceEvaluator",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": read_cpu().name,
        **made_with,
    }


def to_text(cases: dict[str, list[list[float]]]) -> str:
    """Return golden.json, with a line for each picture."""
    parts = []
    for name, rows in cases.items():
        lines = ",\n".join(f"   {json.dumps(row)}" for row in rows)
        parts.append(f"  {json.dumps(name)}: [\n{lines}\n  ]")
    made = json.dumps(describe(), indent=2).replace("\n", "\n ")
    return f'{{\n "made": {made},\n "cases": {{\n' + ",\n".join(parts) + "\n }\n}\n"


@click.command(help=__doc__)
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "calibration" / "conformance")
def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        models = make_models(Path(scratch))
        for model in models:
            for file in (model, sidecar_path(model)):
                shutil.copyfile(file, out / file.name)
    cases = {model.stem: golden_logits(out / model.name) for model in models}
    (out / "golden.json").write_text(to_text(cases), encoding="utf-8")


if __name__ == "__main__":
    main()
