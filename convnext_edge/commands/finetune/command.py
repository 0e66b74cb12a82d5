"""The command `finetune`: calibrate, train from there, write the artifact."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from convnext_edge.artifacts.workspace import check_suffix
from convnext_edge.commands.declaration import Option, command
from convnext_edge.commands.early import look_first
from convnext_edge.commands.options import (
    Checkpoint,
    ClassesFile,
    ClassOrderOption,
    DataRoot,
    ForMachine,
    KeepFloat,
    Model,
    Output,
    QuantizeFor,
    RecipeFile,
    Samples,
    Seed,
    WeightsOption,
    WorkspaceFolder,
)
from convnext_edge.commands.preparation import Given, Images, prepare_job
from convnext_edge.commands.quantize.command import Quantize, quantize_figures
from convnext_edge.commands.text import lines, size, skipped, warned
from convnext_edge.errors import UsageError
from convnext_edge.images.definitions import set_names
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.quiet import importing
from convnext_edge.targets.registry import DEFAULT

Activation = Literal["gelu", "relu"]
AskedPrecision = Literal["auto", "fp32", "bf16"]
STEPS = 300
BATCH = 64


@dataclass(frozen=True)
class Finetune(Quantize):
    """An INT8 model that was trained, and how it did before and after."""

    epochs: float = 0.0  # how often each training image was seen
    steps: int = 0
    activation: str = "gelu"
    data: str = ""  # name of the image set that the figures were measured on
    images: int = 0  # of that set
    reference_top1: float | None = None  # fractions; None where the images have no labels
    start_top1: float | None = None  # of the quantized model before the first step
    final_top1: float | None = None  # and after the last
    start_agreement: float | None = None  # fraction of the images with the reference's top-1
    final_agreement: float | None = None
    start_sqnr_db: float | None = None  # of the worst output, on the measured images; None where it is exact
    final_sqnr_db: float | None = None

    def summary(self) -> str:
        """Return what was written, and how it did."""
        layers = f"{len(self.quantized_layers)} layers {self.precision.upper()}"
        epochs = f"{self.steps} steps, {self.epochs:.3g} epochs"
        return lines(
            ("wrote", self.artifact),
            ("for", f"{self.target}, {layers}, {self.activation}"),
            ("trained", epochs + skipped(self.skipped_images)),
            ("measured", f"on {self.images} images of {self.data}"),
            *self._before_and_after(),
            ("SQNR", f"{self._sqnr()} to FP32 on calibration images"),
            ("size", size(self.bytes, self.fp32_bytes, self.seconds)),
            *warned(self.warnings),
        )

    def _before_and_after(self) -> list[tuple[str, object]]:
        closeness = [
            f"{'exact' if value is None else f'{value:.1f} dB'} to the reference"
            for value in (self.start_sqnr_db, self.final_sqnr_db)
        ]
        if self.final_agreement is None:  # no classifier
            return [("start", closeness[0]), ("final", closeness[1])]
        return [
            ("reference", accuracy_of(self.reference_top1)),
            ("start", accuracy_of(self.start_top1, self.start_agreement)),
            ("final", accuracy_of(self.final_top1, self.final_agreement)),
        ]


def check_options(epochs: float | None, steps: int | None, output: AnyPath | None) -> None:
    """Raise UsageError where both durations are given, or the output is called as another kind of file."""
    check_suffix(as_path(output), ".onnx")
    if epochs is not None and steps is not None:
        raise UsageError("--epochs and --steps exclude each other", hint="Give one of the two.")


def count_steps(epochs: float | None, images: int, batch: int) -> int:
    """Return how many steps of `batch` images see each image `epochs` times; by default `STEPS`."""
    return STEPS if epochs is None else max(round(epochs * images / batch), 1)


def accuracy_of(top1: float | None, agreement: float | None = None) -> str:
    """Return the accuracy of one model in words."""
    told = "top-1 unknown, no labels" if top1 is None else f"top-1 {top1:.2%}"
    return told if agreement is None else f"{told}, {agreement:.2%} agreement with the reference"


@command(example="convnext-edge finetune --train ~/data/train --steps 500")
def finetune(
    model: Model = None,
    *,
    train: Annotated[
        AnyPath,
        Option("Images to train with; labels are not needed.", metavar="NAME|PATH", completions=set_names),
    ],
    calib: Annotated[
        AnyPath | None,
        Option(
            "Images to take first ranges from.  [default: --train's]",
            metavar="NAME|PATH",
            completions=set_names,
        ),
    ] = None,
    samples: Samples = None,
    data: Annotated[
        AnyPath | None,
        Option(
            "Images to measure on.  [default: 5 % of --train]", metavar="NAME|PATH", completions=set_names
        ),
    ] = None,
    target: QuantizeFor = DEFAULT,
    epochs: Annotated[float | None, Option("How often each image is seen.", at_least=0, above=True)] = None,
    steps: Annotated[
        int | None, Option("How long, in place of --epochs.  [default: 300]", at_least=1)
    ] = None,
    batch: Annotated[int, Option("Images in a step, of all processes together.", at_least=1)] = BATCH,
    learning_rate: Annotated[float, Option("Learning rate at its peak.", at_least=0, above=True)] = 5e-4,
    label_weight: Annotated[
        float,
        Option("Share of the labels in the loss; the rest is the reference's answer.", at_least=0, at_most=1),
    ] = 0.0,
    activation: Annotated[Activation, Option("relu swaps GELU for the faster ReLU.")] = "gelu",
    precision: Annotated[
        AskedPrecision, Option("Type of the arithmetic; auto: bf16 on GPUs that have it.")
    ] = "auto",
    compile: Annotated[
        bool,
        Option("Train through torch.compile: pays in long runs.  [default: no]", hide_default=True),
    ] = False,
    save_every: Annotated[
        int,
        Option("Save what --resume needs.", metavar="STEPS", at_least=1, formerly=("checkpoint-every",)),
    ] = 50,
    resume: Annotated[bool, Option("Go on from what was saved last, to the same result.")] = False,
    recipe: RecipeFile = None,
    checkpoint: Checkpoint = None,
    weights: WeightsOption = None,
    keep_float: KeepFloat = (),
    class_order: ClassOrderOption = None,
    classes: ClassesFile = None,
    machine: ForMachine = None,
    data_root: DataRoot = None,
    output: Output = None,
    workspace: WorkspaceFolder = None,
    seed: Seed = 0,
) -> Finetune:
    """Train MODEL (default: the newest export) to lose nothing in INT8.

    The quantized model learns the answers of the FP32 reference, with quantization in the loop. data: by
    default a part of `train` that is not trained with. resume: a run that was killed goes on from its last
    snapshot in the workspace, with the same result as without the break.

    Processes that torchrun started train together: each takes its share of every batch, so that how many
    they are changes the result by rounding alone. The first of them decides on the model and writes; all
    need the images, and all return the same.

    Raises CheckpointError, ImageSetError, RecipeError, QuantizationError, ArtifactError, UsageError.
    """
    check_options(epochs, steps, output)
    space = look_first(model, checkpoint, (train, calib, data), data_root, workspace)
    with importing():
        from convnext_edge.checkpoints.class_order import Numbering
        from convnext_edge.commands.finetune import processes
        from convnext_edge.commands.finetune.data import choose_images
        from convnext_edge.commands.finetune.run import finetune_job
        from convnext_edge.commands.finetune.training import Plan, choose_precision
    started = time.perf_counter()
    numbering = Numbering(class_order, as_path(classes))
    accelerator = processes.join(batch)
    job = prepare_job(
        Given(model, checkpoint, weights),
        images=Images(calib or train, samples, data_root, numbering=numbering),
        target=target,
        recipe=recipe,
        keep_float=keep_float,
        machine=machine,
        workspace=space,
        seed=seed,
        decide=partial(processes.from_first, accelerator),
    )
    trained, measured = choose_images(train, data, data_root, seed, numbering, job.start.artifact)
    plan = Plan(
        activation=activation,
        batch=batch,
        seed=seed,
        steps=steps or count_steps(epochs, len(trained), batch),
        learning_rate=learning_rate,
        label_weight=label_weight,
        save_every=save_every,
        precision=choose_precision(precision, accelerator),
        compiled=compile,
    )
    artifact, figures = finetune_job(
        job, plan, trained, measured, accelerator, output=as_path(output), workspace=space, resume=resume
    )
    figures["seconds"] = round(time.perf_counter() - started, 3)
    return Finetune(**{**quantize_figures(artifact, job), **figures})
