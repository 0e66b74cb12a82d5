"""What each key of a recipe brings: ranges, rounding, smoothing, placement, and other precisions than W8A8.

    python -m benchmarks.measure.recipes

Accuracy and size are those of the demo model on its test images, each recipe quantized for each target and
run there. `over_default_db` is the SQNR over that of the default recipe, with a 95 % interval from 2,000
bootstrap samples of the images: both models answered the same ones.

Latency is that of ConvNeXt-T (random weights, 224, batch 1, one thread) in precisions that run other kernels:
each file and the same graph in FP32 on its target, in turns in one process, with the interval of the ratio.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.support.reports import Bar, Reporting, report_options
from convnext_edge import export, quantize
from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.commands.quantize.speed import write_unquantized
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.evaluation.timing import interleave, times_as_fast
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.noise import noise
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.transform import as_reference_takes
from convnext_edge.targets.base import Logits, Session
from convnext_edge.targets.registry import find_target

TARGETS = ("openvino", "onnxruntime")
DEFAULT = "default"
NEAREST, FOUR_BITS = "nearest rounding", "4-bit weights"
RECIPES = {  # by name, what is changed
    DEFAULT: "",
    "range histogram": 'range = "histogram"',
    "range minmax": 'range = "minmax"',
    "range percentile": 'range = "percentile"',
    NEAREST: 'rounding = "nearest"',
    "no smoothing": "smoothing = 0.0",
    "smoothing 0.25": "smoothing = 0.25",
    "smoothing 0.75": "smoothing = 0.75",
    "weight scale full": 'weight_scale = "full"',
    "depthwise too": "depthwise = true",
    "input of the head too": "keep_float = []\nweights_only = []",
    "weights of the head": 'keep_float = []\nweights_only = ["head"]',
    "W8A16": 'activation = "uint16"',
    "W8A32": 'activation = "float"',
    FOUR_BITS: "weight_bits = 4",
    f"{FOUR_BITS}, {NEAREST}": 'weight_bits = 4\nrounding = "nearest"',
    "W4A32": 'weight_bits = 4\nactivation = "float"',
}
TIMED = (DEFAULT, "depthwise too", "W8A16", "W8A32")
REFUSED = {("openvino", "W8A16")}  # as `quantize` says
CALIBRATION = 16  # images for what is timed: speed does not depend on the ranges
BATCH, DRAWS = 50, 2000


def make(plain: Path, recipe: str, target: str, samples: int | None = None) -> Artifact:
    """The file of a recipe, beside the model that it was made from."""
    name = "".join(letter if letter.isalnum() else "-" for letter in recipe)
    changes = plain.with_name(f"{name}.toml")
    changes.write_text(RECIPES[recipe], encoding="utf-8")
    output = plain.with_name(f"{plain.stem}-{name}-{target}.onnx")
    made = quantize(
        plain,
        calib="demo",
        samples=samples,
        target=target,
        recipe=changes,
        timing=False,
        output=output,
        workspace=plain.parent,
    )
    return open_artifact(made.artifact)


# --- accuracy ------------------------------------------------------------------------------------


def answers(session: Session, images: ImageSet, artifact: Artifact) -> Logits:
    """(N, classes)."""
    prepared = artifact.description.preprocessing
    batches = images.batches(prepared, batch=BATCH, dtype="uint8")
    with session:
        return np.concatenate([session.run(as_reference_takes(batch.images, prepared)) for batch in batches])


def measure_accuracy(folder: Path, images: ImageSet) -> Iterator[dict[str, Any]]:
    exported = export("demo", workspace=folder)
    weights = open_artifact(exported.weights)
    reference = answers(find_target("torch").open_session(weights), images, weights)
    labels = np.array([image.label for image in images.entries])
    for target in TARGETS:
        default: Logits | None = None
        for recipe in RECIPES:
            if (target, recipe) in REFUSED:
                continue
            made = make(exported.artifact, recipe, target)
            found = answers(find_target(target).open_session(made, threads=1), images, made)
            default = found if default is None else default
            compared = Comparison()
            compared.add(reference, found, labels)
            yield {
                "recipe": recipe,
                "target": target,
                "precision": made.description.precision,
                "bytes": made.bytes,
                **compared.accuracy(),
                **over_default(reference, found, default),
            }


def over_default(reference: Logits, found: Logits, default: Logits, seed: int = 0) -> dict[str, Any]:
    """Decibels that the error of one model is below that of another."""
    errors = np.stack([((logits - reference) ** 2).sum(1) for logits in (default, found)])  # (2, N)
    drawn = np.random.default_rng(seed).integers(0, errors.shape[1], (DRAWS, errors.shape[1]))
    low, high = np.percentile(decibels(errors[:, drawn].sum(2)), (2.5, 97.5))
    centre = float(decibels(errors.sum(1)))
    ends = [round(float(end), 2) for end in (low, high)]
    return {"over_default_db": round(centre, 2), "over_default_ci95": ends}


def decibels(powers: NDArray[np.floating]) -> NDArray[np.floating]:
    """Of the first row over the second."""
    result: NDArray[np.floating] = 10 * np.log10(powers[0] / powers[1])
    return result


# --- latency -------------------------------------------------------------------------------------


def measure_latency(folder: Path, runs: int) -> Iterator[dict[str, Any]]:
    plain = export("tiny", random_weights=True, workspace=folder).artifact
    for target in TARGETS:
        made = {
            recipe: make(plain, recipe, target, CALIBRATION)
            for recipe in TIMED
            if (target, recipe) not in REFUSED
        }
        fp32 = write_unquantized(made[DEFAULT], folder / f"fp32-{target}.onnx")
        times = time_all(target, {"fp32": fp32, **made}, runs)
        for recipe, artifact in made.items():
            ratio = times_as_fast(times["fp32"], times[recipe])
            yield {
                "recipe": recipe,
                "target": target,
                "precision": artifact.description.precision,
                "bytes": artifact.bytes,
                "fp32_bytes": fp32.bytes,
                "p50_ms": round(float(np.median(times[recipe])), 2),
                "fp32_p50_ms": round(float(np.median(times["fp32"])), 2),
                "times_fp32": ratio.value,
                "times_fp32_ci95": [ratio.low, ratio.high],
            }


def time_all(target: str, models: dict[str, Artifact], runs: int) -> dict[str, list[float]]:
    sessions = [find_target(target).open_session(model, threads=1) for model in models.values()]
    described = next(iter(models.values())).description
    images = noise(described.preprocessing.shape, described.input_type, batch=1)
    calls = tuple(lambda session=session: session.run(images) for session in sessions)
    return dict(zip(models, interleave(calls, runs), strict=True))


# --- bars ----------------------------------------------------------------------------------------


def check(rows: list[dict[str, Any]], timed: list[dict[str, Any]]) -> Iterator[Bar]:
    by = {(row["target"], row["recipe"]): row for row in rows}
    for target in TARGETS:
        ahead = -by[target, NEAREST]["over_default_ci95"][1]
        yield Bar(f"{target}: GPTQ over nearest rounding, dB, lower end", ahead, at_least=0)
        coarse = by[target, FOUR_BITS]["sqnr_db"] - by[target, f"{FOUR_BITS}, {NEAREST}"]["sqnr_db"]
        yield Bar(f"{target}: GPTQ over nearest rounding at 4 bits, dB", coarse, at_least=1)
        default = by[target, DEFAULT]
        yield Bar(f"{target}: drop of W8A8 after PTQ, points", default["drop_points"], at_most=0.2)
        yield Bar(f"{target}: agreement of W8A8 after PTQ", default["agreement"], at_least=0.993)
    for row in timed:
        if row["recipe"] == "W8A32":
            share = row["bytes"] / row["fp32_bytes"]
            yield Bar(f"{row['target']}: size of W8A32 as a share of FP32", share, at_most=0.27)
            yield Bar(f"{row['target']}: times as fast as FP32, W8A32", row["times_fp32"], at_least=0.95)


@click.command()
@click.option("--limit", type=int, help="Evaluate on that many of the images, drawn by a fixed seed.")
@click.option("--runs", default=30, show_default=True, help="Timed calls of each model.")
@report_options
def main(limit: int | None, runs: int, reporting: Reporting) -> None:
    """Measure what recipes cost and bring."""
    images = open_image_set("demo", split="evaluation").subset(limit, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        rows = list(measure_accuracy(Path(folder), images))
        timed = list(measure_latency(Path(folder), runs))
    measured = {
        "model": "demo",
        "data": {"name": images.name, "images": len(images), "digest": images.digest},
        "rows": rows,
        "latency_of": "tiny, random weights, 224, batch 1, one thread",
        "runs": runs,
        "latency": timed,
    }
    reporting.finish("recipes", measured, check(rows, timed))


if __name__ == "__main__":
    main()
