"""The command `export`: a trained ConvNeXt as FP32 ONNX, and its weights in the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from convnext_edge.artifacts.opsets import HIGHEST, LOWEST, USUAL
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.named import variant_or_file
from convnext_edge.checkpoints.variants import names
from convnext_edge.commands.declaration import Argument, Option, command
from convnext_edge.commands.early import check_names
from convnext_edge.commands.options import (
    RUNTIMES,
    ActivationOption,
    Candidates,
    ChannelOrderOption,
    Crop,
    ExifOption,
    InterpolationOption,
    LabelZeroOption,
    MaxDetections,
    Mean,
    NormOption,
    Output,
    PadColor,
    PixelRange,
    PoolingOption,
    Proposals,
    ResizeModeOption,
    ScoreThreshold,
    Seed,
    Std,
    TaskOption,
    WeightsOption,
    WorkspaceFolder,
)
from convnext_edge.commands.result import Result
from convnext_edge.commands.text import Sentence, command_line, lines
from convnext_edge.errors import first_few
from convnext_edge.images.changes import PreprocessingChanges
from convnext_edge.images.preprocessing import InputType
from convnext_edge.images.way import way
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.quiet import importing
from convnext_edge.targets.registry import NAMES

if TYPE_CHECKING:
    from convnext_edge.artifacts.artifact import Artifact
    from convnext_edge.checkpoints.expectation import Expectation
    from convnext_edge.checkpoints.source import Source
    from convnext_edge.targets.fp32 import ExportOptions


@dataclass(frozen=True)
class Export(Result):
    """An FP32 ONNX model that was written, and its size."""

    artifact: Path
    weights: Path
    variant: str | None
    params: int
    macs: int  # multiply-adds for one image
    resolution: int  # rows of the input, and columns where `width` is None
    classes: int  # outputs of the head; 0 where the model has none
    opset: int  # version of ONNX's operators
    parity_max_abs_diff: float  # largest difference of an output, ONNX Runtime against PyTorch on one input
    width: int | None = None  # columns of an input that is not square
    channels: int = 3  # of the input
    task: str = "classify"  # what the outputs mean
    outputs: tuple[str, ...] = ("logits",)  # their names, in the order of the model
    assumed: tuple[str, ...] = ()  # of the model: what no tensor shows, nothing told and nobody proved
    left_out: tuple[str, ...] = ()  # of a checkpoint: tensors that are not of the image model
    preprocessing: Mapping[str, Any] = field(default_factory=dict)  # of images, as sidecars have it
    images: str = ""  # their whole way in words, and who says so
    taken: str | None = None  # of a checkpoint with several weights: which these are
    class_names: tuple[str, ...] = ()  # in the order of the logits; empty where they are not known
    class_names_from: str | None = None  # the file that they are from
    expected_max_abs_diff: float | None = None  # with --expect: largest difference to what was expected

    def summary(self) -> str:
        """Return what was written."""
        return lines(
            ("wrote", self.artifact),
            ("weights", self.weights),
            ("model", f"{self.variant or 'no named variant'}, {self._answers()}"),
            *self._class_names(),
            ("size", f"{self.params / 1e6:.1f} M parameters, {self.macs / 1e9:.2f} G multiply-adds"),
            ("input", f"{self.resolution} x {self.width or self.resolution} pixels" + self._channels()),
            ("images", Sentence(self.images)),
            ("parity", f"{self.parity_max_abs_diff:.1e} largest difference of an output to PyTorch"),
            *self._expected(),
        )

    def next_command(self) -> str:
        """Return what quantizes the model."""
        return command_line("quantize", self.artifact, "--calib", "IMAGES")

    def _answers(self) -> str:
        if self.task == "classify":
            return f"{self.classes} classes"
        return f"task {self.task}: {', '.join(self.outputs)}"

    def _class_names(self) -> list[tuple[str, object]]:
        if not self.class_names:
            return []
        source = f" ({self.class_names_from})" if self.class_names_from else ""
        return [("classes", first_few(self.class_names) + source)]

    def _channels(self) -> str:
        return "" if self.channels == 3 else f", {self.channels} channel{'s' if self.channels > 1 else ''}"

    def _expected(self) -> list[tuple[str, object]]:
        if self.expected_max_abs_diff is None:
            return []
        return [("expected", f"{self.expected_max_abs_diff:.1e} largest difference to --expect")]


@command(example="convnext-edge export --variant tiny")
def export(
    model: Annotated[AnyPath | None, Argument(completions=names)] = None,
    *,
    variant: Annotated[
        str | None,
        Option("Name from `convnext-edge variants`; beside --checkpoint, a check.", completions=names),
    ] = None,
    checkpoint: Annotated[
        AnyPath | None,
        Option(
            "Weights of your own: .safetensors, .pth, .bin, .onnx, or a folder as Hugging Face saves it.",
            metavar="FILE|DIR|hf:ORG/NAME",
        ),
    ] = None,
    weights: WeightsOption = None,
    random_weights: Annotated[bool, Option("Take seeded noise as weights, for work on latency.")] = False,
    task: TaskOption = None,
    with_map: Annotated[bool, Option("Task embed: give the last map as an output, too.")] = False,
    activation: ActivationOption = None,
    norm: NormOption = None,
    norm_eps: Annotated[float | None, Option("Epsilon of the norms.", at_least=0, at_most=1)] = None,
    pooling: PoolingOption = None,
    output_stride: Annotated[
        int | None, Option("Stride from which timm's strides become dilations: 8 or 16.", at_least=1)
    ] = None,
    candidates: Candidates = None,
    proposals: Proposals = None,
    score_threshold: ScoreThreshold = None,
    max_detections: MaxDetections = None,
    expect: Annotated[AnyPath | None, Option("Your model's answer to --input-data: .npy or .npz.")] = None,
    input_data: Annotated[AnyPath | None, Option("Normalized images (N, channels, H, W): .npy.")] = None,
    resolution: Annotated[
        int | tuple[int, int] | None,
        Option(
            "Edge of the input, as 224, or height x width, as 224x320.  [default: the variant's]",
            metavar="PIXELS",
        ),
    ] = None,
    crop: Crop = None,
    resize_mode: ResizeModeOption = None,
    interpolation: InterpolationOption = None,
    pad_color: PadColor = None,
    mean: Mean = None,
    std: Std = None,
    pixel_range: PixelRange = None,
    channel_order: ChannelOrderOption = None,
    exif: ExifOption = None,
    label_zero: LabelZeroOption = None,
    target: Annotated[
        str | None,
        Option(
            f"Lower for this runtime: {RUNTIMES}.  [default: plain, for any]",
            metavar="NAME",
            choices=NAMES,
        ),
    ] = None,
    classes: Annotated[AnyPath | None, Option("Names of all classes: a name a line, or JSON.")] = None,
    input_type: Annotated[
        InputType, Option("Input of the model: normalized values, or raw RGB bytes.", flags=("--input",))
    ] = "float32",
    dynamic_size: Annotated[
        bool, Option("Take images of any height and width; calibration and timing use --resolution.")
    ] = False,
    opset: Annotated[
        int | None,
        Option(f"Version of ONNX's operators.  [default: {USUAL}]", at_least=LOWEST, at_most=HIGHEST),
    ] = None,
    output: Output = None,
    workspace: WorkspaceFolder = None,
    seed: Seed = 0,
) -> Export:
    """Write MODEL, a variant's name or a file of weights, as ONNX.

    It is checked against PyTorch. model: the name of a variant, or else a path: what `variant` or
    `checkpoint` names. The batch is dynamic. Images are prepared as a file beside the checkpoint says, or as
    the library of its tensors does; crop, mean and the like are as in `Preprocessing`, where it needs others.
    Raises CheckpointError, DownloadError, ExportError, UsageError.
    """
    variant, checkpoint = variant_or_file(model, variant, checkpoint)
    check_names(variant, checkpoint, target, output)
    with importing():
        from convnext_edge.checkpoints.asked import asked_of
        from convnext_edge.checkpoints.config_traits import Traits
        from convnext_edge.checkpoints.expectation import Expectation
        from convnext_edge.checkpoints.kept_weights import save_weights
        from convnext_edge.checkpoints.load_source import load_source
        from convnext_edge.targets.fp32 import ExportOptions

    proof = Expectation.at(as_path(expect), as_path(input_data))
    pixels = (mean, std, resize_mode, pad_color, channel_order, pixel_range, exif, label_zero)
    changes = PreprocessingChanges(resolution, crop, interpolation, *pixels)
    traits = Traits(activation, norm, norm_eps, pooling=pooling, output_stride=output_stride)
    finding = (candidates, proposals, score_threshold, max_detections)
    source = load_source(
        variant,
        as_path(checkpoint),
        random_weights=random_weights,
        changes=changes,
        asked=asked_of(traits, finding, weights=weights, task=task),
        seed=seed,
    ).for_task(task, with_map=with_map)
    source, expected = prove(source.with_class_names(as_path(classes)), proof)
    space = Workspace.at(workspace)
    kept = save_weights(source, space)
    options = ExportOptions(target, input_type, opset, dynamic_size)
    artifact, difference = write_compared(source, kept, options, as_path(output) or space)
    return Export(
        artifact=artifact.path,
        weights=kept.path,
        opset=opset or USUAL,
        parity_max_abs_diff=difference,
        expected_max_abs_diff=expected,
        **figures(source),
    )


def write_compared(
    source: Source, kept: Artifact, options: ExportOptions, place: Path | Workspace
) -> tuple[Artifact, float]:
    """Write the model; return it, and the largest difference of an output to PyTorch."""
    with importing():
        from convnext_edge.evaluation.parity import parity
        from convnext_edge.targets.fp32 import write_fp32

    differences: list[float] = []
    made = write_fp32(
        source, kept, options, place=place, check=lambda made: differences.append(parity(source, made))
    )
    return made, differences[0]


def prove(source: Source, proof: Expectation | None) -> tuple[Source, float | None]:
    """Return the source as `Source.proved` has it, and how far it is from what is expected of it."""
    if proof is None:
        return source, None
    expected = proof.check(source)
    return source.proved(), expected


def figures(source: Source) -> dict[str, Any]:
    """Return the fields of the result that follow from the model."""
    architecture, prepared = source.reference.architecture, source.preprocessing
    return {
        "variant": source.variant,
        "params": architecture.params,
        "macs": architecture.macs(*prepared.size),
        "resolution": prepared.resolution,
        "width": prepared.width,
        "channels": architecture.channels,
        "classes": architecture.classes,
        "task": source.task,
        "outputs": source.outputs,
        "assumed": source.assumed,
        "left_out": source.left_out,
        "preprocessing": prepared.to_json(),
        "images": f"{way(prepared)}, as {source.prepared_by}",
        "taken": source.taken,
        "class_names": source.classes,
        "class_names_from": source.classes_from,
    }
