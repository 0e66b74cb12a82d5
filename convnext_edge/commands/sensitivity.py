"""sensitivity: of each quantized layer, what quantizing it costs and what it gains in time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.source import open_source
from convnext_edge.evaluation.timing import check_threads
from convnext_edge.onnx_graph.graph import drop_quantization, save
from convnext_edge.onnx_graph.tracing import example_input
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.progress import note, track
from convnext_edge.quantization.costs import layer_costs
from convnext_edge.quantization.job import Job
from convnext_edge.quantization.ptq import Calibrated, calibrate_job, quantize_calibrated
from convnext_edge.quantization.start import calibration_images, find_start
from convnext_edge.results import LayerRow, Sensitivity
from convnext_edge.targets import DEFAULT, Target, find_target

SAMPLES = 32
ROUNDS = 7
Times = dict[str, float]


def sensitivity(
    model: AnyPath | None = None,
    *,
    calib: AnyPath,
    samples: int | None = None,
    target: str = DEFAULT,
    recipe: AnyPath | None = None,
    checkpoint: AnyPath | None = None,
    runs: int = 5,
    threads: int = 1,
    data_root: AnyPath | None = None,
    workspace: AnyPath | None = None,
    seed: int = 0,
) -> Sensitivity:
    """Quantize one layer at a time, all others float, and time each layer in INT8 and in FP32.

    model, checkpoint, calib, target, recipe: as of `quantize`. samples: images, 32 (or all of fewer) by
    default. runs: timed calls in each of seven sessions, on `threads`. Times come from OpenVINO and ONNX
    Runtime; other runtimes do not tell them.
    Raises CheckpointError, ImageSetError, RecipeError, QuantizationError, ArtifactError, TargetError,
    UsageError.
    """
    model, recipe, checkpoint, data_root = (
        as_path(model),
        as_path(recipe),
        as_path(checkpoint),
        as_path(data_root),
    )
    started = time.perf_counter()
    check_threads(threads)
    place = Workspace.at(workspace)
    start = find_start(model, checkpoint, place, seed)
    chosen = find_target(target)
    images = calibration_images(calib, samples, data_root, seed, most=SAMPLES)
    job = Job(
        source=open_source(start, place),
        form=chosen.form,
        input_type=start.description.input_type,
        recipe=chosen.choose_recipe(recipe),
        images=images,
    )
    note(f"taking {start.path.name} apart for {target} with {len(images)} images of {images.name}")
    calibrated = calibrate_job(job)
    costs = layer_costs(job, calibrated)
    saved = time_saved(job, calibrated, chosen, runs, threads)
    return Sensitivity(
        target=target,
        calibration=images.name,
        images=len(images),
        layers=tuple(LayerRow(c.name, c.sqnr_db, c.kl, saved.get(c.name)) for c in costs),
        seconds=round(time.perf_counter() - started, 1),
    )


def time_saved(job: Job, calibrated: Calibrated, target: Target, runs: int, threads: int) -> dict[str, float]:
    """Milliseconds that each quantized layer is faster in INT8 than in FP32; empty where none can tell.

    From the runtime's own clock of each kernel, with what is fused into it: in OpenVINO bias, activation and
    residual sum. Quantizing its input counts in ONNX Runtime; in OpenVINO it is part of the layer before.
    One layer is a hundredth of a whole call, less than calls differ on a busy machine: whole calls could
    not tell.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("fp32.onnx", "int8.onnx")]
        quantize_calibrated(job, calibrated).write(paths[1])
        model = onnx.load(paths[1])
        drop_quantization(model)
        save(model, paths[0])
        image = example_input(job.source.preprocessing.resolution, job.input_type, batch=1).numpy()
        fp32, int8 = (
            medians(rounds)
            for rounds in interleave(
                lambda path: target.time_layers(path, image, runs=runs, threads=threads), paths
            )
        )
    if not fp32:
        note(f"{target.name} does not tell the time of single layers")
    return {
        name: round(fp32[name] - int8[name], 4)
        for name in calibrated.quantized_layers
        if name in fp32 and name in int8
    }


def interleave(measure: Callable[[Path], Times | None], paths: list[Path]) -> list[list[Times]]:
    """What `ROUNDS` sessions of each model tell, the models in turn; nothing where they tell nothing."""
    seen: list[list[Times]] = [[] for _ in paths]
    for _ in track(range(ROUNDS), "timing", total=ROUNDS):
        for times, path in zip(seen, paths, strict=True):
            found = measure(path)
            if found is None:
                return seen
            times.append(found)
    return seen


def medians(rounds: list[Times]) -> Times:
    """Of each layer. A runtime averages over a session, so one interruption spoils one round of a layer."""
    names = (
        set.intersection(*map(set, rounds)) if rounds else set()
    )  # nodes of its own have new names each time
    return {name: float(np.median([times[name] for times in rounds])) for name in names}
