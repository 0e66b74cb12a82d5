"""An ONNX file of a ConvNeXt as a checkpoint: recognized, opened with care, read, and proven."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import ModelProto
from onnx.inliner import inline_local_functions

from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.config_traits import Traits
from convnext_edge.checkpoints.onnx_weights.chain import Chain, find_chain, pixels
from convnext_edge.checkpoints.onnx_weights.comparison import Compared, compare
from convnext_edge.checkpoints.onnx_weights.interpretation import SUPPORTED, Reading, interpret
from convnext_edge.checkpoints.onnx_weights.metadata import OwnMetadata, own_metadata
from convnext_edge.checkpoints.onnx_weights.parts import DifferentError
from convnext_edge.checkpoints.onnx_weights.pixels import Pixels, pixels_of, unfolded
from convnext_edge.checkpoints.onnx_weights.recovery import Recovered, recover
from convnext_edge.errors import CheckpointError, TargetError
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network.convnext import ConvNeXt
from convnext_edge.onnx_graph.files import load
from convnext_edge.tasks import TASKS, Task, infer_task, output_names

FIRST_BYTE = b"\x08"  # the tag of a protobuf's first field with a number, the version of ONNX's format


def is_onnx(path: Path) -> bool:
    """Return whether a file begins as an ONNX file does, and not as a safetensors file, which may as well."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return False
        with path.open("rb") as file:
            head = file.read(9)
    except OSError:
        return False
    return head[:1] == FIRST_BYTE and head[8:9] != b"{"


@dataclass(frozen=True)
class GraphWeights:
    """What was read from an ONNX file."""

    path: Path
    model: ModelProto
    reading: Reading
    chain: Chain
    pixels: Pixels
    recovered: Recovered
    metadata: OwnMetadata

    @property
    def architecture(self) -> Architecture:
        """The architecture, with all that shows in no tensor of other checkpoints."""
        return self.recovered.architecture

    @property
    def task(self) -> Task:
        """The task that the outputs' names tell, where they are ours; else that of the architecture."""
        inferred = infer_task(self.architecture)
        stated = () if self.metadata.task is None else (self.metadata.task,)
        tasks = [task for task in (*stated, inferred, *TASKS) if task != "features" or inferred == task]
        names = set(self.chain.outputs)
        return next((t for t in tasks if set(output_names(t, self.architecture)) == names), inferred)

    def prove(self, reference: ConvNeXt) -> float:
        """Return the largest difference of an output, in its deviations; raise as `compare` does."""
        return compare(Compared(self.path, self.model, self.reading, self.chain, self.pixels, reference))


def read_graph(path: Path, asked: Traits = Traits(), known: Preprocessing | None = None) -> GraphWeights:  # noqa: B008  frozen
    """Read a ConvNeXt from an ONNX file.

    asked: what the user says, which the graph must not contradict. known: what a sidecar says of the
    preprocessing, where bytes are normalized in the weights of the stem.
    Raises CheckpointError for what is not exactly one of ours.
    """
    model = _open(path)
    metadata = own_metadata(model, path)
    known = known or metadata.preprocessing
    reading = interpret(model, str(path))
    image = reading.image
    try:
        chain = find_chain({name: value.term for name, value in reading.outputs.items()})
        recovered = recover(chain, image.channels)
        scale, shift = pixels(chain.backbone.stem.image, image.channels)
        if image.kind == "uint8" and np.all(scale == 1) and np.all(shift == 0):
            recovered, scale, shift = unfolded(recovered, known)
        found = pixels_of(image, scale, shift)
    except (DifferentError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a ConvNeXt that we know exactly: {error}", hint=SUPPORTED
        ) from error
    check_asked(recovered.architecture, asked, path)
    return GraphWeights(path, model, reading, chain, found, recovered, metadata)


def _open(path: Path) -> ModelProto:
    try:
        model = load(path)
        if model.functions:  # what PyTorch's exporter writes before it is optimized
            model = inline_local_functions(model)
    except TargetError as error:
        raise CheckpointError(error.message, hint=SUPPORTED) from error
    except Exception as error:  # of no public class
        raise CheckpointError(f"cannot read {path} as ONNX: {error}", hint=SUPPORTED) from error
    if not model.graph.node:
        raise CheckpointError(f"{path} is no ONNX file, or holds no graph", hint=SUPPORTED)
    if model.graph.sparse_initializer:
        raise CheckpointError(f"{path} holds sparse weights", hint=SUPPORTED)
    return model


def check_asked(shown: Architecture, asked: Traits, path: Path) -> None:
    """Raise CheckpointError where the user says something else of a model than what it shows."""
    for name, wanted, found in _pairs(shown, asked):
        if wanted is not None and wanted != found:
            raise CheckpointError(
                f"{path} has {name.replace('_', ' ')} {found}, as its graph shows, and not {wanted}",
                hint=f"Leave --{name.replace('_', '-')} out: an ONNX graph tells it.",
            )


def _pairs(shown: Architecture, asked: Traits) -> Iterator[tuple[str, object, object]]:
    yield "activation", asked.activation, shown.activation
    yield "norm", asked.norm, shown.norm
    eps = asked.norm_eps
    same = eps is not None and bool(np.isclose([shown.eps, shown.last_eps], eps, rtol=1e-3, atol=0).all())
    yield "norm_eps", eps, eps if same else f"{shown.eps:g}"
    yield "pooling", asked.pooling, shown.pooling
    yield "output_stride", asked.output_stride, shown.output_stride or shown.stride
