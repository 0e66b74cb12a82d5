"""The command `export`: a trained ConvNeXt as FP32 ONNX, and its weights in the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from convnext_edge.architecture import Activation, NormKind, Pooling
from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.opsets import HIGHEST, LOWEST, USUAL
from convnext_edge.artifacts.workspace import Workspace, check_suffix
from convnext_edge.checkpoints.variants import names
from convnext_edge.commands.declaration import Option, command
from convnext_edge.commands.options import (
    RUNTIMES,
    ChannelOrderOption,
    Crop,
    ExifOption,
    InterpolationOption,
    Mean,
    Output,
    PadColor,
    PixelRange,
    ResizeModeOption,
    Seed,
    Std,
    WorkspaceFolder,
)
from convnext_edge.commands.result import Result
from convnext_edge.commands.text import Sentence, lines
from convnext_edge.errors import ExportError, UsageError
from convnext_edge.images.changes import PreprocessingChanges
from convnext_edge.images.preprocessing import InputType
from convnext_edge.images.way import way
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.quiet import importing
from convnext_edge.targets.registry import NAMES, find_target
from convnext_edge.tasks import Task

if TYPE_CHECKING:
    from convnext_edge.checkpoints.expectation import Expectation
    from convnext_edge.checkpoints.source import Source

OUTPUT_STRIDES = (8, 16, 32)
PARITY = 1e-3  # of the largest output: what a right export stays under by far
BESIDE = "Of the blocks.  [default: as a config.json beside the checkpoint says, else gelu]"


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
    expected_max_abs_diff: float | None = None  # with --expect: largest difference to what was expected

    def summary(self) -> str:
        """Return what was written."""
        return lines(
            ("wrote", self.artifact),
            ("weights", self.weights),
            ("model", f"{self.variant or 'no named variant'}, {self._answers()}"),
            ("size", f"{self.params / 1e6:.1f} M parameters, {self.macs / 1e9:.2f} G multiply-adds"),
            ("input", f"{self.resolution} x {self.width or self.resolution} pixels" + self._channels()),
            ("images", Sentence(self.images)),
            ("parity", f"{self.parity_max_abs_diff:.1e} largest difference of an output to PyTorch"),
            *self._expected(),
        )

    def _answers(self) -> str:
        if self.task == "classify":
            return f"{self.classes} classes"
        return f"task {self.task}: {', '.join(self.outputs)}"

    def _channels(self) -> str:
        return "" if self.channels == 3 else f", {self.channels} channel{'s' if self.channels > 1 else ''}"

    def _expected(self) -> list[tuple[str, object]]:
        if self.expected_max_abs_diff is None:
            return []
        return [("expected", f"{self.expected_max_abs_diff:.1e} largest difference to --expect")]


@command(example="convnext-edge export --variant tiny")
def export(
    variant: Annotated[
        str | None,
        Option("Name from `convnext-edge variants`; beside --checkpoint, a check.", completions=names),
    ] = None,
    *,
    checkpoint: Annotated[
        AnyPath | None, Option("Weights of your own: .safetensors, .pth, .pt or .bin.")
    ] = None,
    random_weights: Annotated[bool, Option("Seeded noise as weights, for work on latency.")] = False,
    task: Annotated[
        Task | None, Option("What the outputs mean.  [default: as the tensors tell]", metavar="NAME")
    ] = None,
    with_map: Annotated[bool, Option("--task embed: the last map is an output, too.")] = False,
    activation: Annotated[Activation | None, Option(BESIDE, metavar="NAME")] = None,
    norm: Annotated[NormKind | None, Option("Of norms without a bias.", metavar="NAME")] = None,
    norm_eps: Annotated[float | None, Option("Epsilon of the norms.", at_least=0, at_most=1)] = None,
    pooling: Annotated[Pooling | None, Option("Of the last map.", metavar="NAME")] = None,
    output_stride: Annotated[
        int | None, Option("Where timm's strides become dilations: 8 or 16.", at_least=1)
    ] = None,
    expect: Annotated[AnyPath | None, Option("Your model's answer to --input-data: .npy or .npz.")] = None,
    input_data: Annotated[AnyPath | None, Option("Normalized images (N, channels, H, W): .npy.")] = None,
    resolution: Annotated[
        int | tuple[int, int] | None,
        Option("Edge of the input, or height x width.  [default: the variant's]", metavar="PIXELS"),
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
    target: Annotated[
        str | None,
        Option(
            f"Lower for this runtime: {RUNTIMES}.  [default: plain, for any]",
            metavar="NAME",
            choices=NAMES,
        ),
    ] = None,
    input_type: Annotated[
        InputType, Option("Normalized values, or raw RGB bytes.", flags=("--input",))
    ] = "float32",
    dynamic_size: Annotated[
        bool, Option("Images of any height and width; calibrated and timed at --resolution.")
    ] = False,
    opset: Annotated[
        int | None,
        Option(f"Version of ONNX's operators.  [default: {USUAL}]", at_least=LOWEST, at_most=HIGHEST),
    ] = None,
    output: Output = None,
    workspace: WorkspaceFolder = None,
    seed: Seed = 0,
) -> Export:
    """Write a trained ConvNeXt as ONNX, checked against PyTorch.

    The batch is dynamic. Images are prepared as a file beside the checkpoint says, or as the library of its
    tensors does; crop, mean and the like are as in `Preprocessing`, where a checkpoint needs other values.
    Raises CheckpointError, DownloadError, ExportError, UsageError.
    """
    with importing():
        from convnext_edge.checkpoints.expectation import Expectation
        from convnext_edge.checkpoints.kept_weights import save_weights
        from convnext_edge.checkpoints.source import load_source
        from convnext_edge.checkpoints.traits import Traits
        from convnext_edge.targets.fp32 import ExportOptions, write_fp32

    check_names(target, output)
    proof = Expectation.at(as_path(expect), as_path(input_data))
    changes = PreprocessingChanges(
        resolution, crop, interpolation, mean, std, resize_mode, pad_color, channel_order, pixel_range, exif
    )
    source = load_source(
        variant,
        as_path(checkpoint),
        random_weights=random_weights,
        changes=changes,
        traits=Traits(activation, norm, norm_eps, pooling=pooling, output_stride=checked(output_stride)),
        seed=seed,
    ).for_task(task, with_map=with_map)
    source, expected = prove(source, proof)
    space = Workspace.at(workspace)
    weights = save_weights(source, space)
    differences: list[float] = []
    artifact = write_fp32(
        source,
        weights,
        ExportOptions(target, input_type, opset, dynamic_size),
        place=as_path(output) or space,
        check=lambda made: differences.append(parity(source, made)),
    )
    return Export(
        artifact=artifact.path,
        weights=weights.path,
        opset=opset or USUAL,
        parity_max_abs_diff=differences[0],
        expected_max_abs_diff=expected,
        **figures(source),
    )


def prove(source: Source, proof: Expectation | None) -> tuple[Source, float | None]:
    """Return the source as `Source.proved` has it, and how far it is from what is expected of it."""
    if proof is None:
        return source, None
    expected = proof.check(source)
    return source.proved(), expected


def check_names(target: str | None, output: AnyPath | None) -> None:
    """Raise UsageError for a wrong name of a target or a file, before any work."""
    if target is not None:
        find_target(target)
    check_suffix(as_path(output), ".onnx")


def checked(output_stride: int | None) -> int | None:
    """Return an output stride; raise UsageError for one that timm does not have."""
    if output_stride not in (None, *OUTPUT_STRIDES):
        raise UsageError(f"--output-stride {output_stride} is none that timm has", hint="Take 8, 16 or 32.")
    return output_stride


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
    }


def parity(source: Source, artifact: Artifact) -> float:
    """Return the largest difference of an output, ONNX Runtime against PyTorch on the same noise.

    Raises ExportError where they are not the same function.
    """
    described = artifact.description
    sizes = [source.preprocessing.shape]
    if described.dynamic_size:
        channels, rows, columns = sizes[0]
        stride = source.reference.architecture.stride
        sizes.append((channels, rows + stride, columns + 2 * stride))
    return max(parity_at(size, source, artifact) for size in sizes)


def parity_at(size: tuple[int, int, int], source: Source, artifact: Artifact) -> float:
    """Return the largest difference on images of one size (channels, rows, columns), as `parity` does."""
    import numpy as np

    with importing():
        from convnext_edge.images.noise import noise
        from convnext_edge.images.transform import as_reference_takes
        from convnext_edge.targets.torch import TorchSession

    images = noise(size, artifact.description.input_type, batch=2, seed=1)
    expected = TorchSession(source.reference).run_all(as_reference_takes(images, source.preprocessing))
    if not all(np.isfinite(output).all() for output in expected):
        raise ExportError(
            f"{source.stem} answers with NaN or infinity at {source.preprocessing.size_text} pixels",
            hint="Its weights are too large: take an earlier checkpoint of the training.",
        )
    with find_target("onnxruntime").open_session(artifact) as session:
        found = session.run_all(images)
    largest = 0.0
    for name, wanted, output in zip(source.outputs, expected, found, strict=True):
        difference = float(np.abs(output - wanted).max())
        if not difference <= PARITY * max(1.0, float(np.abs(wanted).max())):
            raise ExportError(
                f"{artifact.path.name} differs from PyTorch by {difference:.3g} in {name}",
                hint="This is a fault of the exporter or the runtime; please report it with the versions.",
            )
        largest = max(largest, difference)
    return largest
