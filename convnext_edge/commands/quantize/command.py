"""The command `quantize`: choose the model, the recipe and the images, run a method, write the artifact."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from convnext_edge.artifacts.artifact import Calibration, Verdict
from convnext_edge.artifacts.workspace import check_suffix
from convnext_edge.commands.declaration import Option, command
from convnext_edge.commands.early import look_first
from convnext_edge.commands.options import (
    Calib,
    Checkpoint,
    ClassesFile,
    ClassOrderOption,
    DataRoot,
    ForMachine,
    KeepFloat,
    MinAgreement,
    MinCosine,
    MinR2,
    MinSqnr,
    Model,
    Opset,
    Output,
    QuantizeFor,
    RecipeFile,
    Samples,
    Seed,
    WeightsOption,
    WorkspaceFolder,
)
from convnext_edge.commands.preparation import Given, Images, prepare_job
from convnext_edge.commands.quantize.methods import FORMS, Method, find_method
from convnext_edge.commands.remedies import Remedy, after_quantize
from convnext_edge.commands.result import Result
from convnext_edge.commands.text import command_line, lines, metric_lines, size, skipped, verdict, warned
from convnext_edge.guest import ALONE
from convnext_edge.images.definitions import set_names
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.progress import doing
from convnext_edge.quiet import importing
from convnext_edge.targets.registry import DEFAULT, find_target

if TYPE_CHECKING:
    from convnext_edge.artifacts.artifact import Artifact
    from convnext_edge.commands.quantize.gate import Gate, Gated
    from convnext_edge.evaluation.gates import Gates
    from convnext_edge.quantization.job import Job, Quantized


@dataclass(frozen=True)
class Quantize(Result):
    """An INT8 model that was written, and how it did at the gates."""

    artifact: Path
    target: str
    method: str
    calibration: Calibration
    quantized_layers: tuple[str, ...]
    float_layers: tuple[str, ...]
    seconds: float  # from reading the weights to the written file
    bytes: int  # of that file
    fp32_bytes: int | None  # of its weights in FP32
    precision: str = "int8"  # bits of weights and activations, as `w4a8`
    skipped_images: tuple[str, ...] = ()
    # with gates of accuracy; None where they were not asked for
    kept_float: tuple[str, ...] = ()  # layers that the gate took out of INT8, costliest first
    sixteen_bit: tuple[str, ...] = ()  # layers that it gave 16-bit activations instead
    drop_points: float | None = None  # points that are lost in the end
    max_drop: float | None = None  # points that may be lost
    measured: dict[str, float | None] = field(default_factory=dict)  # what each gate is on, in the end
    slowdown: float | None = None  # latency over that of all layers in INT8
    # timing on the target, one image on one thread; None where the target was not timed
    speedup_over_fp32: float | None = None  # against the target's own FP32
    speedup_over_fp32_ci95: tuple[float, float] | None = None
    speedup: float | None = None  # against FP32 PyTorch
    speedup_ci95: tuple[float, float] | None = None
    reliable: bool | None = None  # False on a machine that was too busy to tell
    doubt: str = ""  # why it is not reliable
    advice: str | None = None  # "ship INT8", "ship FP32", or what lies between
    # of the logits on up to 8 of the calibration images, in ONNX Runtime; None where they are equal
    calibration_sqnr_db: float | None = None
    warnings: tuple[str, ...] = ()  # why not to rely on this model, as sentences
    gates: tuple[str, ...] = ()  # what the gates are on that decided `passed`
    unmet: tuple[str, ...] = ()  # of each that is not met: which, and why
    passed: bool = True  # all gates
    undecided: tuple[str, ...] = ()  # gates that were set, and that nothing decides on a busy machine

    def summary(self) -> str:
        """Return what was written, and how it did."""
        calibrated = f"{self.calibration.images} of {self.calibration.name}" + skipped(self.skipped_images)
        return lines(
            ("wrote", self.artifact),
            ("for", f"{self.target}, method {self.method}"),
            ("images", calibrated),
            (
                self.precision.upper(),
                f"{len(self.quantized_layers)} layers; {len(self.float_layers)} stay float",
            ),
            ("size", size(self.bytes, self.fp32_bytes, self.seconds)),
            *self._accuracy(),
            *self._speed(),
            ("SQNR", f"{self._sqnr()} to FP32 on calibration images"),
            *warned(self.warnings),
            ("gates", verdict(self.gates, self.passed, self.undecided)),
            *self._remedy.rows,
        )

    def next_command(self) -> str:
        """Return what builds the engine of a model that passed, or else what makes a better model."""
        return command_line("build", self.artifact) if self.passed else self._remedy.command

    @property
    def _remedy(self) -> Remedy:
        return after_quantize(self.unmet, self.target, doubted=bool(self.warnings))

    def _sqnr(self) -> str:
        return "no difference" if self.calibration_sqnr_db is None else f"{self.calibration_sqnr_db:.1f} dB"

    def _accuracy(self) -> list[tuple[str, object]]:
        """Return what the gates of accuracy found and did, where they were asked for."""
        kept = [("kept float", name) for name in self.kept_float]
        kept += [("16-bit", f"activations of {name}") for name in self.sixteen_bit]
        slower = [("price", f"{self.slowdown:.2f}x the latency of all in INT8")] if self.slowdown else []
        others = {name: value for name, value in self.measured.items() if name != "drop_points"}
        return [*kept, *slower, *self._drop(), *metric_lines(others)]

    def _drop(self) -> list[tuple[str, object]]:
        if self.drop_points is None:
            return []
        return [("drop", f"{self.drop_points:+.2f} points, {self.max_drop:g} allowed")]

    def _speed(self) -> list[tuple[str, object]]:
        """Return how INT8 does against FP32, where it was timed."""
        if self.speedup_over_fp32_ci95 is None:
            return [("speed", "not timed")]
        low, high = self.speedup_over_fp32_ci95
        ratio = f"{self.speedup_over_fp32:.2f}x FP32 on {self.target}"
        return [
            ("speed", f"{ratio} (95 %: {low:.2f} to {high:.2f})"),
            ("", f"{self.speedup:.2f}x FP32 PyTorch; one image, one thread"),
            *([("", f"NOT to be relied on: {self.doubt}")] if self.doubt else []),
            ("advice", str(self.advice)),
        ]


@command(example="convnext-edge quantize --calib imagenet_val --data-root ~/data")
def quantize(
    model: Model = None,
    *,
    calib: Calib,
    samples: Samples = None,
    target: QuantizeFor = DEFAULT,
    method: Annotated[
        Method, Option("How to quantize: ours, NNCF over our placement, or ONNX Runtime's quantize_static.")
    ] = "ptq",
    recipe: RecipeFile = None,
    checkpoint: Checkpoint = None,
    weights: WeightsOption = None,
    keep_float: KeepFloat = (),
    max_drop: Annotated[
        float | None,
        Option("Gate: keep layers float, costliest first, until no more points are lost.", metavar="POINTS"),
    ] = None,
    min_agreement: MinAgreement = None,
    min_sqnr: MinSqnr = None,
    min_r2: MinR2 = None,
    min_cosine: MinCosine = None,
    data: Annotated[
        AnyPath | None,
        Option(
            "Images for these gates.  [default: those of --calib]", metavar="NAME|PATH", completions=set_names
        ),
    ] = None,
    timing: Annotated[
        bool, Option("Gate: no slower than the target's own FP32, where the target runs here.")
    ] = True,
    allow_slower: Annotated[bool, Option("Time it, but let slower INT8 pass.")] = False,
    min_calibration_sqnr: Annotated[
        float, Option("Gate: SQNR on the calibration images; 0 for none.", metavar="DB", at_least=0)
    ] = 20.0,
    class_order: ClassOrderOption = None,
    classes: ClassesFile = None,
    machine: ForMachine = None,
    opset: Opset = None,
    data_root: DataRoot = None,
    output: Output = None,
    workspace: WorkspaceFolder = None,
    seed: Seed = 0,
) -> Quantize:
    """Quantize to INT8 after training, from MODEL (default: the newest export).

    model: an artifact of export. max_drop, min_agreement, min_sqnr, min_r2, min_cosine: gates as of
    `validate`, by the task; layers go back to float (or to the recipe's `fallback`), the costliest first,
    until all hold on `data`. timing: the file is timed against FP32 on the target, where that runs here.
    min_calibration_sqnr: a model that is far from FP32 on the images that it was calibrated with should not
    be shipped. Both are gates, too, see `passed`.
    Raises CheckpointError, ImageSetError, RecipeError, QuantizationError, ArtifactError, UsageError.
    """
    given = (max_drop, min_agreement, min_sqnr, min_r2, min_cosine)
    bounds = asked_gates(given, data, method, changed=recipe is not None or bool(keep_float))
    check_suffix(as_path(output), ".onnx")
    space = look_first(model, checkpoint, (calib, data), data_root, workspace)
    with importing():
        from convnext_edge.checkpoints.class_order import Numbering
        from convnext_edge.commands.quantize.gate import open_gate
        from convnext_edge.commands.quantize.speed import measure_speed
        from convnext_edge.commands.quantize.verdict import judge
        from convnext_edge.evaluation import calibration_check
    started = time.perf_counter()
    numbering = Numbering(class_order, as_path(classes))
    job = prepare_job(
        Given(model, checkpoint, weights),
        images=Images(calib, samples, data_root, numbering=numbering),
        target=target,
        recipe=recipe,
        keep_float=keep_float,
        form=FORMS.get(method),
        machine=find_target(target).checked_machine(machine),
        opset=opset,
        workspace=space,
        seed=seed,
    )
    sample = calibration_check.look_at(job.images, job.source)
    gate = open_gate(bounds, data, data_root, job, numbering)
    job, quantized, gated = run_method(job, method, gate)
    figures = {} if gated is None else gated.figures()

    def look(made: Artifact) -> Verdict:
        figures["seconds"] = round(time.perf_counter() - started, 3)
        speed = measure_speed(made, job.source.reference, find_target(target)) if timing else None
        figures.update(speed.figures() if speed else {})
        figures["calibration_sqnr_db"] = sqnr_db = sample.sqnr_db(made, job.source)
        compared = None if allow_slower else speed
        figures["undecided"] = ("speed",) if compared and compared.doubt else ()
        return judge(job, sample, sqnr_db, min_db=min_calibration_sqnr, speed=compared, gated=gated)

    artifact = job.write(quantized, method, output=as_path(output), workspace=space, judge=look)
    return Quantize(**quantize_figures(artifact, job), **figures)


def asked_gates(
    given: Sequence[float | None], data: AnyPath | None, method: Method, *, changed: bool
) -> Gates:
    """Return the gates of accuracy that options ask for; raise UsageError as `check_gate` does."""
    with ALONE:
        from convnext_edge.commands.quantize.bounds import check_gate
        from convnext_edge.evaluation.gates import Gates

    gates = Gates(*given)
    check_gate(gates, data, method, changed=changed)
    return gates


def announce(job: Job) -> None:
    """Say what is quantized for what, with which images."""
    images, asked = job.images, "" if job.opset is None else f" in opset {job.opset}"
    name = job.start.artifact.path.name
    doing(f"quantizing {name} for {job.target}{asked} with {len(images)} images of {images.name}")


def run_method(job: Job, method: Method, gate: Gate | None) -> tuple[Job, Quantized, Gated | None]:
    """Quantize a job until the gate holds; return it with the recipe that it went by in the end."""
    announce(job)
    if gate is None:
        return job, find_method(method)(job), None
    from convnext_edge.commands.quantize.gate import quantize_gated

    gated = quantize_gated(job, gate)
    return replace(job, recipe=gated.recipe), gated.quantized, gated


def quantize_figures(artifact: Artifact, job: Job) -> dict[str, Any]:
    """Return the fields of the result that follow from the written model."""
    described = artifact.description
    assert described.calibration is not None  # of every model that is calibrated
    assert described.verdict is not None  # likewise
    return {
        "artifact": artifact.path,
        "target": job.target,
        "method": described.method,
        "precision": described.precision,
        "calibration": described.calibration,
        "quantized_layers": described.quantized_layers,
        "float_layers": described.float_layers,
        "bytes": artifact.bytes,
        "fp32_bytes": described.architecture.fp32_bytes,
        "skipped_images": tuple(image.name for image in job.images.skipped),
        **asdict(described.verdict),
    }
