"""The command `export`: a trained ConvNeXt as FP32 ONNX, and its weights in the workspace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.workspace import Workspace, check_suffix
from convnext_edge.commands.declaration import Option, command
from convnext_edge.commands.options import RUNTIMES, Output, Seed, WorkspaceFolder
from convnext_edge.commands.result import Result
from convnext_edge.commands.text import lines
from convnext_edge.errors import ExportError
from convnext_edge.images.preprocessing import InputType, PreprocessingChanges, Triple
from convnext_edge.paths import AnyPath, as_path
from convnext_edge.quiet import importing
from convnext_edge.targets.registry import NAMES, find_target

if TYPE_CHECKING:
    from convnext_edge.checkpoints.source import Source

PARITY = 1e-3  # of the largest logit: what a right export stays under by far


@dataclass(frozen=True)
class Export(Result):
    """An FP32 ONNX model that was written, and its size."""

    artifact: Path
    weights: Path
    variant: str | None
    params: int
    macs: int  # multiply-adds for one image
    resolution: int  # edge of the input in pixels
    classes: int
    parity_max_abs_diff: float  # largest difference of a logit, ONNX Runtime against PyTorch on one input

    def summary(self) -> str:
        """Return what was written."""
        return lines(
            ("wrote", self.artifact),
            ("weights", self.weights),
            ("model", f"{self.variant or 'no named variant'}, {self.classes} classes"),
            ("size", f"{self.params / 1e6:.1f} M parameters, {self.macs / 1e9:.2f} G multiply-adds"),
            ("input", f"{self.resolution} x {self.resolution} pixels"),
            ("parity", f"{self.parity_max_abs_diff:.1e} largest difference of a logit to PyTorch"),
        )


@command(example="convnext-edge export --variant tiny")
def export(
    variant: Annotated[
        str | None, Option("Name from `convnext-edge variants`; beside --checkpoint, a check.")
    ] = None,
    *,
    checkpoint: Annotated[
        AnyPath | None, Option("Weights of your own: .safetensors, .pth, .pt or .bin.")
    ] = None,
    random_weights: Annotated[bool, Option("Seeded noise as weights, for work on latency.")] = False,
    resolution: Annotated[
        int | None,
        Option("Edge of the input.  [default: the variant's]", metavar="PIXELS", at_least=1),
    ] = None,
    crop: Annotated[
        float | None,
        Option(
            "Of the resized image's edge that is kept.",
            metavar="FRACTION",
            at_least=0,
            at_most=1,
            above=True,
        ),
    ] = None,
    mean: Annotated[Triple | None, Option("Of the pixels, in 0..1.", metavar="R G B")] = None,
    std: Annotated[Triple | None, Option("Standard deviation of the pixels.", metavar="R G B")] = None,
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
    output: Output = None,
    workspace: WorkspaceFolder = None,
    seed: Seed = 0,
) -> Export:
    """Write a trained ConvNeXt as ONNX, checked against PyTorch.

    The batch is dynamic. crop, mean and std are as in `Preprocessing`, where a checkpoint needs other values
    than its variant's (or ImageNet's).
    Raises CheckpointError, DownloadError, ExportError, UsageError.
    """
    with importing():
        from convnext_edge.checkpoints.source import load_source, save_weights
        from convnext_edge.targets.fp32 import write_fp32

    if target is not None:
        find_target(target)  # a wrong name is said before any work
    check_suffix(as_path(output), ".onnx")
    changes = PreprocessingChanges(resolution=resolution, crop=crop, mean=mean, std=std)
    source = load_source(
        variant, as_path(checkpoint), random_weights=random_weights, changes=changes, seed=seed
    )
    space = Workspace.at(workspace)
    weights = save_weights(source, space)
    differences: list[float] = []
    artifact = write_fp32(
        source,
        weights,
        target=target,
        input_type=input_type,
        place=as_path(output) or space,
        check=lambda made: differences.append(parity(source, made)),
    )
    architecture = source.reference.architecture
    return Export(
        artifact=artifact.path,
        weights=weights.path,
        variant=source.variant,
        params=architecture.params,
        macs=architecture.macs(source.preprocessing.resolution),
        resolution=source.preprocessing.resolution,
        classes=architecture.classes,
        parity_max_abs_diff=differences[0],
    )


def parity(source: Source, artifact: Artifact) -> float:
    """Return the largest difference of a logit, ONNX Runtime against PyTorch on the same noise.

    Raises ExportError where they are not the same function.
    """
    import numpy as np

    with importing():
        from convnext_edge.images.noise import noise
        from convnext_edge.images.transform import as_reference_takes
        from convnext_edge.targets.torch import TorchSession

    images = noise(source.preprocessing.resolution, artifact.description.input_type, batch=2, seed=1)
    expected = TorchSession(source.reference).run(as_reference_takes(images, source.preprocessing))
    if not np.isfinite(expected).all():
        raise ExportError(
            f"{source.stem} answers with NaN or infinity at {source.preprocessing.resolution} pixels",
            hint="Its weights are too large: take an earlier checkpoint of the training.",
        )
    with find_target("onnxruntime").open_session(artifact) as session:
        difference = float(np.abs(session.run(images) - expected).max())
    if not difference <= PARITY * max(1.0, float(np.abs(expected).max())):
        raise ExportError(
            f"{artifact.path.name} differs from PyTorch by {difference:.3g} in a logit",
            hint="This is a fault of the exporter or the runtime; please report it with the versions.",
        )
    return difference
