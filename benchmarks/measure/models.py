"""How close INT8 comes to FP32 on every trained model, and on a hard case made from each.

    python -m benchmarks.measure.models
    python -m benchmarks.measure.models --tiny tiny200 --only tiny200

The models are the demo model and those of `calibration/models`, whose table says what each is. `--tiny` is
the folder with train.zip and test.zip of Tiny-ImageNet-200 that `make/pack_tiny_imagenet.py` writes; without
it, the model of 200 classes is left out. A report that is there already keeps its other models, so that they
may be measured one by one. For each model it has

methods   ours in OpenVINO and ONNX Runtime, NNCF and `quantize_static` with their defaults, and ours on
          the same function with each norm's scale multiplied channel-wise by 1/64 to 64, and the next layer
          divided by it
bars      what no model may fall under: the worst counts, not the mean
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.measure.fidelity import SAMPLES, held_against, run_all, sound
from benchmarks.support.models import Model, read_models
from benchmarks.support.reports import Bar, Reporting, report_options
from benchmarks.support.study import (
    NNCF,
    OPENVINO,
    ORT,
    REFERENCE,
    RESCALED,
    STATIC,
    TORCH,
    Study,
    against_defaults,
    own_file,
)
from convnext_edge import export
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.opening import open_image_set

DEMO = "demo"
RIVALS = {OPENVINO: NNCF, ORT: STATIC}
MANY_CLASSES = 100
AGREEMENT, AGREEMENT_OF_MANY = 0.99, 0.985

Images = tuple[
    str, ImageSet, ImageSet
]  # what calibrates, as a name or a path; the same opened; what is measured
Row = dict[str, Any]


def images_for(model: Model | None, tiny: Path | None, limit: int | None) -> Images:
    """The calibration and evaluation images of a model."""
    if model is None or model.shape.images == DEMO:
        calib, data = DEMO, DEMO
    else:
        assert tiny is not None
        calib, data = str(tiny / "train.zip"), str(tiny / "test.zip")
    calibration = open_image_set(calib, split="calibration")
    evaluation = open_image_set(data, split="evaluation")
    drawn = min(limit, len(evaluation)) if limit else None
    return calib, calibration.subset(min(SAMPLES, len(calibration)), seed=0), evaluation.subset(drawn, seed=0)


def measure(model: Model | None, images: Images) -> Row:
    """Each method on one model; None is the demo model."""
    calib, calibration, evaluation = images
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        if model is None:
            exported = export(DEMO, workspace=workspace)
        else:
            told = model.preprocessing
            exported = export(
                checkpoint=model.file,
                resolution=told.resolution,
                crop=told.crop,
                resize_mode=told.resize_mode,
                mean=told.mean,
                std=told.std,
                workspace=workspace,
            )
        preprocessing = open_artifact(exported.artifact).description.preprocessing
        study = Study(workspace, exported.artifact, exported.weights, preprocessing, calib, calibration)
        sessions, refused = sound(against_defaults(study), preprocessing.resolution)
        logits, labels = run_all(sessions, evaluation, preprocessing)
    found = {name: held_against(logits[REFERENCE, TORCH], logits[name], labels) for name in sessions}
    return {
        "images": len(evaluation),
        "classes": int(logits[REFERENCE, TORCH].shape[1]),
        "methods": [{"method": method, "target": target, **row} for (method, target), row in found.items()],
        "refused": refused,
    }


def rows_of(model: Row, method: str, target: str) -> Row:
    return next(row for row in model["methods"] if (row["method"], row["target"]) == (method, target))


def check(models: dict[str, Row]) -> Iterator[Bar]:
    """The bars of each target: of the worst model."""
    for target, rival in RIVALS.items():
        for limit, many in ((AGREEMENT, False), (AGREEMENT_OF_MANY, True)):
            chosen = {name: row for name, row in models.items() if (row["classes"] > MANY_CLASSES) is many}
            for method, what in ((own_file(target), "agreement"), (RESCALED, "agreement, norms rescaled")):
                found = {name: rows_of(row, method, target)["agreement"] for name, row in chosen.items()}
                if found:
                    worst = min(found, key=found.__getitem__)
                    kind = "many classes" if many else "10 classes"
                    yield Bar(f"{target}: {what}, {kind}, worst: {worst}", found[worst], at_least=limit)
        over = {name: sqnr_over(row, target, rival) for name, row in models.items()}
        worst = min(over, key=over.__getitem__)
        yield Bar(f"{target}: SQNR over {rival}, dB, worst: {worst}", over[worst], at_least=0)


def sqnr_over(model: Row, target: str, rival: str) -> float:
    """How much closer ours is in dB; where the rival cannot run the model, as much as ours has."""
    own = float(rows_of(model, own_file(target), target)["sqnr_db"])
    if any((row["method"], row["target"]) == (rival, target) for row in model["refused"]):
        return own
    return own - float(rows_of(model, rival, target)["sqnr_db"])


@click.command(help=__doc__)
@click.option("--tiny", type=click.Path(exists=True, path_type=Path))
@click.option("--only", multiple=True, help="Measure these models; demo is the demo model.")
@click.option("--limit", type=int, help="Evaluate on that many of the images, drawn by a fixed seed.")
@report_options
def main(tiny: Path | None, only: tuple[str, ...], limit: int | None, reporting: Reporting) -> None:
    models: dict[str, Model | None] = {DEMO: None, **{model.name: model for model in read_models()}}
    found: dict[str, Row] = reporting.earlier("models").get("models", {})
    for name in only or models:
        model = models[name]
        if model is not None and model.shape.images != DEMO and tiny is None:
            print(f"{name}: left out, as --tiny is not given", file=sys.stderr)
            continue
        found[name] = measure(model, images_for(model, tiny, limit))
        rows = found[name]["methods"]
        print(
            name,
            *((row["method"], row["target"], row["agreement"], row["sqnr_db"]) for row in rows),
            sep="\n",
        )
    reporting.finish(
        "models", {"models": {name: found[name] for name in models if name in found}}, check(found)
    )


if __name__ == "__main__":
    main()
