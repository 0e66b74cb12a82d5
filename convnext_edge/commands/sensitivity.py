"""The command `sensitivity`: what quantizing each layer costs in accuracy, and how much time it saves."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.commands.declaration import Option, command
from convnext_edge.commands.early import check_images, check_start, check_threads
from convnext_edge.commands.options import (
    Checkpoint,
    DataRoot,
    DeviceRunner,
    Model,
    OnDevice,
    QuantizeFor,
    RecipeFile,
    Seed,
    WeightsOption,
    WorkspaceFolder,
)
from convnext_edge.commands.preparation import Given, Images, prepare_job
from convnext_edge.commands.result import Result
from convnext_edge.commands.text import command_line, fold, table
from convnext_edge.devices.address import Where
from convnext_edge.devices.description import DeviceDescription
from convnext_edge.images.definitions import set_names
from convnext_edge.paths import AnyPath
from convnext_edge.progress import doing
from convnext_edge.quiet import importing
from convnext_edge.targets.registry import DEFAULT

if TYPE_CHECKING:
    from convnext_edge.evaluation.layer_costs import Cost
    from convnext_edge.evaluation.layer_times import LayerPair, Timer
    from convnext_edge.evaluation.layer_values import Values
    from convnext_edge.quantization.job import Job
    from convnext_edge.quantization.ptq import Calibrated

SAMPLES = 32
SHOWN = 6  # of the worst layers, whose values are kept


@dataclass(frozen=True)
class LayerRow(Result):
    """One layer that is quantized while all others stay float."""

    name: str
    sqnr_db: float | None  # of the logits; None where they do not change
    kl: float  # mean divergence of the answers from the FP32 model's, in nats
    latency_saved_ms: float | None  # FP32 minus INT8; None where the runtime does not tell
    fp32_ms: float | None = None  # of the layer, as the runtime counts it; None likewise
    int8_ms: float | None = None
    weights: Values | None = None  # in codes of their channel; None but for the worst layers
    activations: Values | None = None  # of the layer's input; None too where that is float, or not counted


@dataclass(frozen=True)
class Sensitivity(Result):
    """What INT8 costs and gains in each layer."""

    target: str
    calibration: str  # name of the image set
    images: int
    layers: tuple[LayerRow, ...]  # worst first
    seconds: float
    model: Path  # that was taken apart
    device: DeviceDescription | None = None  # that layers were timed on; None: this machine

    def table_rows(self) -> list[dict[str, Any]]:
        """Return a row for each layer, the worst first."""
        return [layer.to_json() for layer in self.layers]

    def summary(self) -> str:
        """Return a table with a line for each layer, the worst nearest to the prompt."""
        header = ("layer alone in INT8, worst last", "SQNR", "KL (nats)", "saves")
        rows = [
            (
                row.name,
                "same" if row.sqnr_db is None else f"{row.sqnr_db:.1f} dB",
                f"{row.kl:.1e}",
                "unknown" if row.latency_saved_ms is None else f"{row.latency_saved_ms:.3f} ms",
            )
            for row in reversed(self.layers)
        ]
        measured = f"{self.images} images of {self.calibration} for {self.target} in {self.seconds:.0f} s"
        there = f"\n{fold(f'timed on {self.device}')}" if self.device else ""
        return f"{measured}{there}\n{table([header, *rows])}"

    def next_command(self) -> str:
        """Return what leaves the worst layer in float."""
        if not self.layers:
            return ""
        worst = self.layers[0].name
        return command_line("quantize", self.model, "--calib", "IMAGES", "--keep-float", worst)


@command(example="convnext-edge sensitivity --calib imagenet_val --samples 32")
def sensitivity(
    model: Model = None,
    *,
    calib: Annotated[AnyPath, Option("Images to measure with.", metavar="NAME|PATH", completions=set_names)],
    samples: Annotated[
        int | None, Option("How many of them.  [default: 32, or all of fewer]", at_least=1)
    ] = None,
    target: QuantizeFor = DEFAULT,
    on: OnDevice = None,
    runner: DeviceRunner = None,
    recipe: RecipeFile = None,
    checkpoint: Checkpoint = None,
    weights: WeightsOption = None,
    runs: Annotated[int, Option("Number of timed calls in a round.", at_least=1)] = 5,
    threads: Annotated[int, Option("Threads of the timed calls.", at_least=1)] = 1,
    data_root: DataRoot = None,
    workspace: WorkspaceFolder = None,
    seed: Seed = 0,
) -> Sensitivity:
    """Tell what INT8 costs and gains in each layer of MODEL (default: newest).

    One layer at a time is quantized, all others stay float; each layer is timed in INT8 and in FP32. Times
    come from OpenVINO and ONNX Runtime; other runtimes do not tell them. With `on`, layers are timed on the
    device; the cost in accuracy is measured here. The result is kept in the workspace for `report`.
    Raises CheckpointError, DeviceError, ImageSetError, RecipeError, QuantizationError, ArtifactError,
    TargetError, UsageError.
    """
    where = Where.parse(on, runner)
    if where is None:
        check_threads(threads)
    space = Workspace.at(workspace)
    check_start(model, checkpoint, space)
    check_images(calib, data_root=data_root)
    with importing():
        from convnext_edge.commands.layers_there import LayersThere
        from convnext_edge.devices.session import machine_there
        from convnext_edge.evaluation.layer_times import timer_here
        from convnext_edge.evaluation.records import keep
        from convnext_edge.quantization.ptq import calibrate_job
        from convnext_edge.targets.registry import find_target

    started = time.perf_counter()
    job = prepare_job(
        Given(model, checkpoint, weights),
        images=Images(calib, samples, data_root, most=SAMPLES),
        target=target,
        recipe=recipe,
        workspace=space,
        seed=seed,
        machine=machine_there(where) if where else None,
    )
    name, images = job.start.artifact.path.name, job.images
    doing(f"taking {name} apart for {target} with {len(images)} images of {images.name}")
    calibrated = calibrate_job(job)
    there = LayersThere(where, job, space, runs=runs, threads=threads) if where else None
    timer = there or timer_here(find_target(target), runs=runs, threads=threads)
    result = Sensitivity(
        target=target,
        calibration=images.name,
        images=len(images),
        layers=measure_layers(job, calibrated, timer),
        seconds=round(time.perf_counter() - started, 1),
        model=job.start.artifact.path,
        device=there.device if there else None,
    )
    keep("sensitivity", result.to_json(), job.start.artifact, space)
    return result


def measure_layers(job: Job, calibrated: Calibrated, timer: Timer) -> tuple[LayerRow, ...]:
    """Return what each layer costs and takes, the worst first."""
    from convnext_edge.evaluation.layer_costs import layer_costs
    from convnext_edge.evaluation.layer_times import time_pairs
    from convnext_edge.evaluation.layer_values import layer_values

    costs = layer_costs(job, calibrated)
    pairs = time_pairs(job, calibrated, timer)
    values = {cost.name: layer_values(cost.name, job, calibrated) for cost in costs[:SHOWN]}
    return tuple(layer_row(c, pairs.get(c.name), values.get(c.name, (None, None))) for c in costs)


def layer_row(cost: Cost, times: LayerPair | None, values: tuple[Values | None, Values | None]) -> LayerRow:
    """Return what is known of a layer. values: of its weights, and of its input."""
    return LayerRow(
        cost.name,
        cost.sqnr_db,
        cost.kl,
        times.saved if times else None,
        times.fp32 if times else None,
        times.int8 if times else None,
        *values,
    )
