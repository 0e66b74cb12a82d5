"""An exported model against PyTorch on the same noise: they are to be one function."""

from __future__ import annotations

import numpy as np

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.checkpoints.source import Source
from convnext_edge.errors import ExportError
from convnext_edge.evaluation.detections import match
from convnext_edge.images.noise import noise
from convnext_edge.images.objects import split
from convnext_edge.images.transform import as_reference_takes
from convnext_edge.progress import note, phase
from convnext_edge.targets.base import Outputs
from convnext_edge.targets.registry import find_target
from convnext_edge.targets.torch import TorchSession

FAULT = "This is a fault of the exporter or the runtime; please report it with the versions."
PARITY = 1e-3  # of the largest output: what a right export stays under by far


@phase("comparing with PyTorch")
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
    images = noise(size, artifact.description.input_type, batch=2, seed=1)
    expected = TorchSession(source.reference).run_all(as_reference_takes(images, source.preprocessing))
    if not all(np.isfinite(output).all() for output in expected):
        raise ExportError(
            f"{source.stem} answers with NaN or infinity at {source.preprocessing.size_text} pixels",
            hint="Its weights are too large: take an earlier checkpoint of the training.",
        )
    with find_target("onnxruntime").open_session(artifact) as session:
        found = session.run_all(images)
    if source.task == "detect":
        return parity_of_detections(expected, found, artifact)
    largest = 0.0
    for name, wanted, output in zip(source.outputs, expected, found, strict=True):
        difference = float(np.abs(output - wanted).max())
        if not difference <= PARITY * max(1.0, float(np.abs(wanted).max())):
            raise ExportError(
                f"{artifact.path.name} differs from PyTorch by {difference:.3g} in {name}",
                hint=FAULT,
            )
        largest = max(largest, difference)
    return largest


def parity_of_detections(expected: Outputs, found: Outputs, artifact: Artifact) -> float:
    """Return the largest difference of a box, score or mask of detections that both have.

    Raises ExportError where one has a detection that the other has not. One that is as likely as the least
    likely that is told may be missing: a rounding decides.
    """
    largest, count = 0.0, 0
    for exact, other in zip(split(expected), split(found), strict=True):
        pairs = match(exact, other)
        count += len(pairs)
        for detections, partners in ((exact, [i for i, *_ in pairs]), (other, [j for _, j, _ in pairs])):
            alone = np.delete(detections.scores, partners)
            if alone.size and alone.max() > detections.scores.min() + PARITY:
                raise ExportError(
                    f"{artifact.path.name} finds other objects than PyTorch, with scores up to"
                    f" {alone.max():.2f}",
                    hint=FAULT,
                )
        for name in ("boxes", "scores", "masks"):
            one, two = (getattr(each, name) for each in (exact, other))
            largest = max([largest, *(float(np.abs(one[i] - two[j]).max()) for i, j, _ in pairs)])
    if not count:
        note(
            "nothing is found in noise, by which the export is compared with PyTorch: validate it on pictures"
        )
    return largest
