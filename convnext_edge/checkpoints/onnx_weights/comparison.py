"""The proof that weights were read rightly: the given ONNX file and the reference made of it, run on noise.

ONNX Runtime runs the file. Of a file in FP16, its float32 form runs: what was read is proven, not how it
rounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, helper

from convnext_edge.checkpoints.onnx_weights.chain import Chain
from convnext_edge.checkpoints.onnx_weights.float32 import has_other_floats, in_float32
from convnext_edge.checkpoints.onnx_weights.interpretation import SUPPORTED, Reading
from convnext_edge.checkpoints.onnx_weights.nodes import readable
from convnext_edge.checkpoints.onnx_weights.pixels import Pixels
from convnext_edge.checkpoints.onnx_weights.terms import Term
from convnext_edge.errors import CheckpointError
from convnext_edge.images.noise import noise
from convnext_edge.network.convnext import ConvNeXt, as_tuple
from convnext_edge.network.exporter import running
from convnext_edge.quiet import importing

CLOSE = 1e-4  # of the deviation of an output: the same function in another order of float32 additions
ROUNDING = 1e-6  # of the largest value, likewise
IMAGES, FEW = 4, 2
LARGE = 512**2  # pixels of an image, beyond which few images are run
SMALLEST = 64  # pixels of an image that may have any size

Array = NDArray[Any]


@dataclass(frozen=True)
class Compared:
    """What is run: a file, and the model that was read from it."""

    path: Path
    model: ModelProto
    reading: Reading
    chain: Chain
    pixels: Pixels
    reference: ConvNeXt


def compare(given: Compared) -> float:
    """Return the largest difference of an output, in deviations of that output.

    Raises CheckpointError where the two are not the same function; it names the first part that differs.
    """
    raw, normalized = images_for(given)
    outputs = given.chain.outputs
    found = run_file(given, raw, list(outputs))
    with torch.inference_mode(), running():
        answers = [answer.numpy() for answer in as_tuple(given.reference(torch.from_numpy(normalized)))]
    places = ([None] if given.reference.architecture.pooled else []) + list(given.reference.architecture.maps)
    wanted: dict[int | None, Array] = dict(zip(places, answers, strict=True))
    largest = 0.0
    for (name, place), answer in zip(outputs.items(), found, strict=True):
        expected = wanted[place]
        fits = answer.size == expected.size
        difference = distance(answer.reshape(expected.shape), expected) if fits else np.inf
        if not (fits and is_close(answer.reshape(expected.shape), expected)):
            part = first_different(given, raw, normalized) or "no part of it alone"
            raise CheckpointError(
                f"{given.path}: what was read from the graph does not compute the same: {readable(name)}"
                f" differs by {difference:.2g} of its deviation; the first part that differs is {part}",
                hint="Give the weights themselves, and please report it with the file.",
            )
        largest = max(largest, difference)
    return largest


def distance(found: Array, wanted: Array) -> float:
    """Return the largest difference of two arrays, in deviations of the second."""
    difference, deviation = float(np.abs(found - wanted).max()), float(wanted.std())
    return difference / deviation if deviation else (np.inf if difference else 0.0)


def is_close(found: Array, wanted: Array) -> bool:
    """Return whether two arrays are the same function's, added up in another order."""
    rounding = ROUNDING * float(np.abs(wanted).max())
    return float(np.abs(found - wanted).max()) <= CLOSE * float(wanted.std()) + rounding


def images_for(given: Compared) -> tuple[Array, Array]:
    """Return noise as the file takes it, and as the reference takes it."""
    image, stride = given.reading.image, given.reference.architecture.stride
    rows, columns = image.size or (max(SMALLEST, 2 * stride),) * 2
    count = max(IMAGES if rows * columns <= LARGE else FEW, image.batch or 0)
    count += -count % (image.batch or 1)
    size = (image.channels, rows, columns)
    if image.kind == "uint8":
        raw = noise(size, "uint8", batch=count, seed=0)
        return raw, given.pixels.normalized(raw)
    normalized = noise(size, "float32", batch=count, seed=0)
    return given.pixels.raw(normalized), normalized


def run_file(given: Compared, raw: Array, outputs: list[str], model: ModelProto | None = None) -> list[Array]:
    """Return values of a file by their names, as ONNX Runtime computes them of images.

    model: what is run in its place. Raises CheckpointError where ONNX Runtime refuses it.
    """
    with importing("onnxruntime"):
        import onnxruntime

    image = given.reading.image
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it raises is said below
    if model is None and has_other_floats(given.model):
        model = in_float32(given.model)
    try:
        content = str(given.path) if model is None else model.SerializeToString()
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        batch = image.batch or len(raw)
        starts = range(0, len(raw), batch)
        runs = [session.run(outputs, {image.name: raw[start : start + batch]}) for start in starts]
    except Exception as error:  # of no public class
        text = str(error).splitlines()[0]
        raise CheckpointError(f"ONNX Runtime refuses {given.path}: {text}", hint=SUPPORTED) from error
    return [np.concatenate(parts).astype(np.float32) for parts in zip(*runs, strict=True)]


# --- where two differ ------------------------------------------------------------------------------


def first_different(given: Compared, raw: Array, normalized: Array) -> str | None:
    """Return the name of the first part of the reference whose output is not that of the graph."""
    ends = {name: given.reading.made.get(term) for name, term in named_ends(given.chain)}
    shown = {name: found for name, found in ends.items() if found is not None}
    wanted = answers_of_parts(given.reference, list(shown), normalized)
    opened = in_float32(given.model)
    del opened.graph.output[:]
    values = [value for value, _ in shown.values()]
    opened.graph.output.extend(helper.make_empty_tensor_value_info(value) for value in values)
    found = run_file(given, raw, values, opened)
    for (name, (value, held)), answer in zip(shown.items(), found, strict=True):
        order = [held.labels.index(label) for label in "nchw"] if set(held.labels) == set("nchw") else None
        if order is not None and not is_close(answer.transpose(order), wanted[name]):
            return f"{name} (the graph's {value!r})"
    return None


def named_ends(chain: Chain) -> Iterator[tuple[str, Term]]:
    """Yield the name of each part of the reference, and the term that it puts out."""
    yield "stem", chain.backbone.stem.end
    for number, stage in enumerate(chain.backbone.stages):
        if stage.down is not None:
            yield f"stages.{number}.downsample", stage.down.end
        for index, block in enumerate(stage.blocks):
            yield f"stages.{number}.blocks.{index}", block.end


def answers_of_parts(reference: ConvNeXt, names: list[str], normalized: Array) -> dict[str, Array]:
    """Return what parts of the reference put out, by their names."""
    found: dict[str, Array] = {}

    def keep(name: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: torch.Tensor) -> None:
            found[name] = output.numpy().copy()

        return hook

    hooks = [reference.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    with torch.inference_mode(), running():
        reference(torch.from_numpy(normalized))
    for hook in hooks:
        hook.remove()
    return found
