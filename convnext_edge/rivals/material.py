"""The files that rivals start from and are measured with, written once for all."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.checkpoints.source import Source
from convnext_edge.evaluation.comparison import Answer
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.noise import noise
from convnext_edge.images.preprocessing import InputType
from convnext_edge.images.transform import as_reference_takes
from convnext_edge.network.exporter import exporter
from convnext_edge.onnx_graph.naming import INPUT
from convnext_edge.progress import phase, track
from convnext_edge.rivals.rival import Given
from convnext_edge.targets.fp32 import ExportOptions, write_fp32

BATCH = 8
TYPES: tuple[InputType, ...] = ("float32", "uint8")


@dataclass(frozen=True)
class Material:
    """What rivals start from, and what all contenders are measured with."""

    given: Given
    images: dict[InputType, Path]  # to compare on (.npy), by the type that a contender takes
    timed: dict[InputType, Path]  # the one image of noise that is timed (.npy), likewise
    reference: NDArray[np.float32]  # logits of FP32 PyTorch (N, classes)
    labels: NDArray[np.int64]  # (N,), -1 where an image has none


def prepare(
    source: Source,
    weights: Artifact,
    calibration: ImageSet,
    data: ImageSet,
    *,
    reference: Answer,
    folder: Path,
) -> Material:
    """Write all of it into a folder.

    weights: the artifact that holds the source's weights. reference: answers as the source's does.
    """
    found = source.preprocessing
    options = ExportOptions(None, "float32", None)
    onnx = write_fp32(source, weights, options, place=folder / "fp32.onnx").path
    program = write_program(source, folder / "fp32.pt2")
    given = Given(onnx, program, weights.path.absolute(), folder / "calibration.npy", INPUT)
    write_images(calibration, source, {"float32": given.calibration})
    images = {kind: folder / f"images-{kind}.npy" for kind in TYPES}
    labels = write_images(data, source, images)
    timed = {kind: folder / f"timed-{kind}.npy" for kind in TYPES}
    for kind, path in timed.items():
        np.save(path, noise(found.shape, kind, batch=1))
    return Material(given, images, timed, answer(reference, images["float32"]), labels)


def write_program(source: Source, path: Path) -> Path:
    """Write the reference as an exported program for one image."""
    example = torch.from_numpy(noise(source.preprocessing.shape, "float32", batch=1))
    buffer = BytesIO()
    with exporter():
        torch.export.save(torch.export.export(source.reference, (example,)), buffer)
    path.write_bytes(buffer.getbuffer())
    return path


def write_images(images: ImageSet, source: Source, places: dict[InputType, Path]) -> NDArray[np.int64]:
    """Write images as each type at its place, and return their labels; broken ones are left out."""
    shape = (len(images), *source.preprocessing.shape)
    written = {kind: np.lib.format.open_memmap(path, "w+", kind, shape) for kind, path in places.items()}
    labels: list[NDArray[np.int64]] = []
    count = 0
    for batch in track(
        images.batches(source.preprocessing, batch=BATCH, dtype="uint8"),
        "decoding images",
        total=len(images),
        step=BATCH,
    ):
        for kind, file in written.items():
            taken = (
                batch.images if kind == "uint8" else as_reference_takes(batch.images, source.preprocessing)
            )
            file[count : count + len(taken)] = taken
        labels.append(batch.labels.astype(np.int64))
        count += len(batch.labels)
    for kind, path in places.items():
        written[kind].flush()
        if count < len(images):
            np.save(path, np.array(written[kind][:count]))
    return np.concatenate(labels)


@phase("running the reference")
def answer(reference: Answer, images: Path) -> NDArray[np.float32]:
    """Return the logits (N, classes) of the reference for a file of images."""
    pixels = np.load(images, mmap_mode="r")
    batches = (np.array(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH))
    return np.concatenate([reference(batch)[0] for batch in batches])
