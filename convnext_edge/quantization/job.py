"""What every method of quantization is given, what it gives back, and how that is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from convnext_edge.artifacts.artifact import Artifact, Calibration, Description, Form, Verdict
from convnext_edge.artifacts.metadata import metadata
from convnext_edge.artifacts.replaced import announce_replacement
from convnext_edge.artifacts.store import write_artifact
from convnext_edge.artifacts.workspace import Workspace, file_name
from convnext_edge.checkpoints.kept_weights import keep_weights
from convnext_edge.checkpoints.source import Source
from convnext_edge.cpu import Machine
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.preprocessing import InputType
from convnext_edge.network.lowering import lower
from convnext_edge.onnx_graph.tracing import Graph, example_input
from convnext_edge.progress import track
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.quantization.start import Start

BATCH = 4  # images at a time, of each thread: more gain no time, and need more memory
MOST_PIXELS = BATCH * 384**2  # of these images: what a decoder holds at 640 x 640 takes gigabytes
HASH_DIGITS = 16  # of each calibration image's SHA-256, kept to recognize it when a model is validated


@dataclass(frozen=True)
class Quantized:
    """A quantized graph that is not written yet."""

    placement: dict[str, bool]  # of each layer by name, whether it is quantized
    write: Callable[[Path], None]  # makes the ONNX file


@dataclass(frozen=True)
class Job:
    """One model to quantize: from where it starts, for what, how, and with which images."""

    start: Start
    target: str  # name of the runtime
    form: Form  # in which the model is lowered
    recipe: Recipe
    images: ImageSet  # the calibration set
    recipe_name: str | None = None  # where the recipe is not the target's own
    opset: int | None = None  # another than the usual one
    class_names: tuple[str, ...] = ()  # that the sidecar tells; empty for those of the model
    machine: Machine | None = None  # that the form is for, where the target has several
    moment_norms: bool = False  # whether norms may be computed from mean and length, where a form has such
    training: dict[str, Any] | None = None  # settings of fine-tuning, which the sidecar tells with the recipe

    @property
    def source(self) -> Source:
        """The reference."""
        return self.start.source

    @property
    def input_type(self) -> InputType:
        """What the quantized model takes: the same as the model that it is made from."""
        return self.start.artifact.description.input_type

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes: those that were told for this model, or its own."""
        return self.class_names or self.source.classes

    @property
    def batch(self) -> int:
        """How many images each thread runs at a time."""
        rows, columns = self.source.preprocessing.size
        return max(1, min(BATCH, MOST_PIXELS // (rows * columns)))

    def lowered(self) -> torch.nn.Module:
        """Return the reference in the job's form."""
        return lower(
            self.source.reference,
            self.form,
            preprocessing=self.source.preprocessing,
            input_type=self.input_type,
            dynamic_size=self.start.artifact.description.dynamic_size,
            will_quantize=self.moment_norms,
        )

    def graph(self, layer_names: Iterable[str] = ()) -> Graph:
        """Return what the written graph is to be like."""
        described = self.start.artifact.description
        told = metadata(replace(described, classes=self.classes))
        return Graph(
            self.source.outputs,
            layer_names,
            self.opset,
            described.dynamic_size,
            self.source.task == "detect",
            told,
        )

    def example(self) -> torch.Tensor:
        """Return noise to trace the model with, (2, 3, H, W)."""
        return example_input(self.source.preprocessing.shape, self.input_type)

    def batches(
        self, purpose: str, *, limit: int | None = None, size: int | None = None
    ) -> Iterator[NDArray[Any]]:
        """Yield calibration images (N, 3, H, W) of the input's type, behind a progress bar.

        purpose: what the bar says. limit: take no more images than that.
        """
        size = size or self.batch
        images = self.images.subset(None if limit is None else min(limit, len(self.images)), seed=0)
        batches = images.batches(self.source.preprocessing, batch=size, dtype=self.input_type)
        for batch in track(batches, purpose, total=len(images), step=size):
            yield batch.images

    def describe(self, placement: dict[str, bool], method: str) -> Description:
        """Return what the sidecar says of the quantized model."""
        images, recipe = self.images, self.recipe.to_json()
        return replace(
            self.start.artifact.description,
            kind="onnx",
            target=self.target,
            method=method,
            precision=self.recipe.precision,
            recipe_name=self.recipe_name,
            opset=self.opset,
            form=self.form,
            machine=self.machine,
            recipe=recipe if self.training is None else {**recipe, "finetune": self.training},
            calibration=Calibration(images.name, len(images), images.digest),
            calibration_hashes=tuple(digest[:HASH_DIGITS] for digest in images.hashes),
            quantized_layers=tuple(name for name, chosen in placement.items() if chosen),
            float_layers=tuple(name for name, chosen in placement.items() if not chosen),
            weights=self.start.weights.link,
            parent=self.start.artifact.link,
            classes=self.classes,
        )

    def path(self, method: str, output: Path | None, workspace: Workspace) -> Path:
        """Return where the quantized model goes: `output`, or a name in the workspace."""
        return output or workspace.folder / file_name(self.describe({}, method), ".onnx")

    def write(
        self,
        quantized: Quantized,
        method: str,
        *,
        output: Path | None,
        workspace: Workspace,
        judge: Callable[[Artifact], Verdict | None] = lambda made: None,
    ) -> Artifact:
        """Write the quantized model with its sidecar, and keep its weights where they will be found.

        judge: as of `write_artifact`.
        """
        path = self.path(method, output, workspace)
        description = self.describe(quantized.placement, method)
        if output is None:
            announce_replacement(path, description)
        keep_weights(self.start.artifact, path, workspace)
        return write_artifact(path, description, quantized.write, judge=judge)
