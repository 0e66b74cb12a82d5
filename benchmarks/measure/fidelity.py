"""How close INT8 comes to FP32: our methods, and NNCF and ONNX Runtime as their users call them.

    python -m benchmarks.measure.fidelity
    python -m benchmarks.measure.fidelity --checkpoint FILE --resolution 32 --calib train.zip --data test.zip

Every candidate sees the same calibration and evaluation images; the reference is FP32 in PyTorch. The
report holds

methods      top-1, its drop with the paired interval, agreement with Wilson's, SQNR of the logits
same_file    one INT8 file in PyTorch's float simulation, in OpenVINO, and in ONNX Runtime with and
             without its optimizer, each held against each other; and the simulation against itself
             with the noise of float arithmetic on its input, which is as close as two runtimes can be.
             Codes on a boundary fall either way, each moves thousands of values by less than a code,
             and those move codes again: a few layers on, the noise of rounding is back in full
rescaled     the same function, with each LayerNorm's scale multiplied channel-wise by 1/64 to 64 and
             the next layer divided by it: against the FP32 reference as it was before
bars         what the project promises of them

Without VNNI, kernels add pairs of products in 16 bits, and large weights overflow: repeat this on both
kinds of CPU (`cpu.int8_saturates` of the report says which one it was).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.support.reports import Bar, Reporting, decibels, report_options, sqnr_of_images
from benchmarks.support.study import (
    JITTERED,
    NNCF,
    OPENVINO,
    ORT,
    REFERENCE,
    RESCALED,
    STATIC,
    TORCH,
    Name,
    Named,
    Study,
    candidates,
    own_file,
)
from convnext_edge import export
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.images.image_set import ImageSet, overlap
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import as_reference_takes
from convnext_edge.targets.base import Logits, Session

SAMPLES = 256  # calibration images
BATCH = 50


def refusal(session: Session, resolution: int) -> str | None:
    """What the runtime says where it cannot run the model; that is a result too, of a method and a target."""
    try:
        session.run(np.zeros((1, 3, resolution, resolution), np.float32))
    except Exception as error:  # each runtime raises its own
        return str(error).splitlines()[0]
    return None


def sound(named: Named, resolution: int) -> tuple[dict[Name, Session], list[dict[str, str]]]:
    """The sessions that can run their model, and what the runtimes say of the others."""
    sessions, refused = {}, []
    for name, session in named:
        print("made:", *name, file=sys.stderr, flush=True)
        problem = refusal(session, resolution)
        if problem:
            refused.append({"method": name[0], "target": name[1], "error": problem})
        else:
            sessions[name] = session
    return sessions, refused


def run_all(
    sessions: dict[Name, Session], images: ImageSet, preprocessing: Preprocessing
) -> tuple[dict[Name, Logits], NDArray[np.int64]]:
    """Logits (N, classes) of every session, and the labels (N,)."""
    logits: dict[Name, list[Logits]] = {name: [] for name in sessions}
    labels = []
    for batch in images.batches(preprocessing, batch=BATCH, dtype="uint8"):
        normalized = as_reference_takes(batch.images, preprocessing)
        for name, session in sessions.items():
            logits[name].append(session.run(normalized))
        labels.append(batch.labels)
    return {name: np.concatenate(parts) for name, parts in logits.items()}, np.concatenate(labels)


def held_against(reference: Logits, candidate: Logits, labels: NDArray[np.int64]) -> dict[str, Any]:
    found = Comparison()
    found.add(reference, candidate, labels)
    return found.accuracy()


def pairs(logits: dict[Name, Logits], labels: NDArray[np.int64], file: str) -> list[dict[str, Any]]:
    """Every two runtimes that ran the same file."""
    runtimes = {runtime: values for (name, runtime), values in logits.items() if name == file}
    real = [runtime for runtime in runtimes if runtime != JITTERED]
    rows = []
    for one, other in (*combinations(real, 2), ("simulation", JITTERED)):
        row = held_against(runtimes[one], runtimes[other], labels)
        kept = {key: row[key] for key in ("images", "agreement", "agreement_ci95", "sqnr_db")}
        median = decibels(np.median(sqnr_of_images(runtimes[one], runtimes[other])))
        rows.append({"file": file, "runtimes": [one, other], **kept, "median_sqnr_db": median})
    return rows


def check(methods: dict[Name, dict[str, Any]], same: list[dict[str, Any]]) -> Iterator[Bar]:
    for target, baseline in ((OPENVINO, NNCF), (ORT, STATIC)):
        row, rival = methods[own_file(target), target], methods[baseline, target]
        yield Bar(f"{target}: agreement", row["agreement"], at_least=0.993)
        yield Bar(f"{target}: drop, points", row["drop_points"], at_most=0.3)
        yield Bar(f"{target}: SQNR, dB", row["sqnr_db"], at_least=35)
        yield Bar(f"{target}: SQNR over {baseline}, dB", row["sqnr_db"] - rival["sqnr_db"], at_least=8)
        disagreement = (1 - row["agreement"]) / max(1 - rival["agreement"], 1e-9)
        yield Bar(f"{target}: disagreement as a share of that of {baseline}", disagreement, at_most=0.5)
        agreement = methods[RESCALED, target]["agreement"]
        yield Bar(f"{target}: agreement, LayerNorm rescaled", agreement, at_least=0.99)
    same = [row for row in same if JITTERED not in row["runtimes"]]
    yield Bar("same file, any two runtimes: agreement", min(row["agreement"] for row in same), at_least=0.999)
    noisy = [row["sqnr_db"] for row in same if row["sqnr_db"] is not None]
    yield Bar("same file, any two runtimes: SQNR, dB", min(noisy, default=None), at_least=50)


@click.command()
@click.option("--checkpoint", type=click.Path(exists=True, path_type=Path), help="Instead of the demo model.")
@click.option("--resolution", type=int, help="Edge of the input in pixels, where the variant does not say.")
@click.option("--crop", type=float, help="Fraction of the resized image that is kept, likewise.")
@click.option("--calib", default="demo", show_default=True, help="Image set to calibrate with.")
@click.option("--data", default="demo", show_default=True, help="Image set to evaluate on.")
@click.option("--limit", type=int, help="Evaluate on that many of the images, drawn by a fixed seed.")
@report_options
def main(
    checkpoint: Path | None,
    resolution: int | None,
    crop: float | None,
    calib: str,
    data: str,
    limit: int | None,
    reporting: Reporting,
) -> None:
    """Compare the answers of INT8 models to those of their FP32 reference."""
    calibration = open_image_set(calib, split="calibration")
    calibration = calibration.subset(min(SAMPLES, len(calibration)), seed=0)
    images = open_image_set(data, split="evaluation").subset(limit, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        exported = export(
            None if checkpoint else "demo",
            checkpoint=checkpoint,
            resolution=resolution,
            crop=crop,
            workspace=workspace,
        )
        preprocessing = open_artifact(exported.artifact).description.preprocessing
        study = Study(workspace, exported.artifact, exported.weights, preprocessing, calib, calibration)
        sessions, refused = sound(candidates(study), preprocessing.resolution)
        logits, labels = run_all(sessions, images, preprocessing)
    against = {name: held_against(logits[REFERENCE, TORCH], logits[name], labels) for name in sessions}
    same = [row for target in (OPENVINO, ORT) for row in pairs(logits, labels, own_file(target))]
    measured = {
        "model": exported.weights.stem,
        "calibration": {"name": calibration.name, "images": len(calibration), "digest": calibration.digest},
        "data": {"name": images.name, "images": len(images), "calibrated_with": overlap(calibration, images)},
        "methods": [{"method": m, "target": t, **row} for (m, t), row in against.items()],
        "refused": refused,
        "same_file": same,
    }
    reporting.finish("fidelity", measured, check(against, same))


if __name__ == "__main__":
    main()
