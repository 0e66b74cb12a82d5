"""What every method of quantization is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from convnext_edge.checkpoints.source import Source
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.preprocessing import InputType
from convnext_edge.network.lowering import Form, lower
from convnext_edge.onnx_graph.tracing import example_input
from convnext_edge.progress import track
from convnext_edge.quantization.recipe import Recipe

BATCH = 4  # images at a time, of each thread: more gain no time, and need more memory


@dataclass(frozen=True)
class Job:
    """One model to quantize. images: the calibration set."""

    source: Source
    form: Form
    input_type: InputType
    recipe: Recipe
    images: ImageSet

    def lowered(self) -> torch.nn.Module:
        return lower(
            self.source.reference,
            self.form,
            preprocessing=self.source.preprocessing,
            input_type=self.input_type,
        )

    def example(self) -> torch.Tensor:
        return example_input(self.source.preprocessing.resolution, self.input_type)

    def batches(self, purpose: str, *, limit: int | None = None, size: int = BATCH) -> Iterator[NDArray[Any]]:
        """Calibration images (N, 3, H, W) of the input's type, behind a progress bar that names `purpose`.

        limit: take no more images than that.
        """
        images = self.images.subset(None if limit is None else min(limit, len(self.images)), seed=0)
        batches = images.batches(self.source.preprocessing, batch=size, dtype=self.input_type)
        for batch in track(batches, purpose, total=len(images), step=size):
            yield batch.images


@dataclass(frozen=True)
class Quantized:
    """placement: of each layer by name, whether its input and weight are INT8. write: makes the ONNX file."""

    placement: dict[str, bool]
    write: Callable[[Path], None]
