"""How the images of a graph are normalized, where the graph does it: what that tells of the preprocessing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from convnext_edge.checkpoints.onnx_weights.interpretation import Image
from convnext_edge.checkpoints.onnx_weights.parts import Array
from convnext_edge.checkpoints.onnx_weights.recovery import Recovered
from convnext_edge.checkpoints.onnx_weights.tensors import State
from convnext_edge.images.changes import PreprocessingChanges
from convnext_edge.images.preprocessing import Preprocessing

BRIGHTEST = 255.0
STEM = "stem.conv"


@dataclass(frozen=True)
class Pixels:
    """What the graph makes of the values that it takes, before the first convolution of the reference."""

    scale: Array  # of each channel: normalized = value * scale + shift
    shift: Array
    told: PreprocessingChanges  # of the preprocessing, what the graph shows

    def normalized(self, values: np.ndarray) -> np.ndarray:
        """Return what the reference takes for values (N, channels, H, W) that the graph takes, in float32."""
        shape = (1, -1, 1, 1)
        return (values * self.scale.reshape(shape) + self.shift.reshape(shape)).astype(np.float32)

    def raw(self, normalized: np.ndarray) -> np.ndarray:
        """Return what the graph takes for what the reference takes, in float32."""
        shape = (1, -1, 1, 1)
        return ((normalized - self.shift.reshape(shape)) / self.scale.reshape(shape)).astype(np.float32)


def pixels_of(image: Image, scale: Array, shift: Array) -> Pixels:
    """Return what scale and shift before the first convolution tell.

    Raises ValueError where they are no mean and standard deviation of pixels.
    Bytes are taken to be in 0..255, and floats too where only that gives a standard deviation within 0..1.
    """
    size = PreprocessingChanges(image.size)
    if image.kind != "uint8" and np.all(scale == 1) and np.all(shift == 0):
        return Pixels(scale, shift, size)
    of_bytes = image.kind == "uint8" or bool(np.any(scale < 1))
    with np.errstate(all="ignore"):
        std = 1 / (scale * (BRIGHTEST if of_bytes else 1.0))
    mean = -shift * std
    slack = 1e-6
    if not (
        np.all(std > 0) and np.all(std <= 1 + slack) and np.all(mean >= -slack) and np.all(mean <= 1 + slack)
    ):
        raise ValueError(
            f"multiplies pixels by {scale} and adds {shift}, which is no mean and deviation within 0..1"
        )
    found = replace(size, mean=_values(mean), std=_values(std))
    return Pixels(scale, shift, found)


def _values(values: Array) -> tuple[float, ...]:
    return tuple(min(1.0, max(0.0, float(f"{value:.6g}"))) for value in values)


def unfolded(recovered: Recovered, known: Preprocessing | None) -> tuple[Recovered, Array, Array]:
    """Take the normalization of bytes out of a stem that reads them as they are.

    known: what a sidecar says of the preprocessing; without one, the reference takes pixels in 0..1. Returns
    the model with a stem for normalized values, and scale and shift that make them of bytes.
    """
    channels = recovered.architecture.channels
    fits = known is not None and len(known.mean) == channels
    mean = np.array(known.mean) if known is not None and fits else np.zeros(channels)
    std = np.array(known.std) if known is not None and fits else np.ones(channels)
    shape = (1, -1, 1, 1)
    weight = recovered.state[f"{STEM}.weight"].astype(np.float64) * (BRIGHTEST * std).reshape(shape)
    state: State = {**recovered.state, f"{STEM}.weight": weight.astype(np.float32)}
    if f"{STEM}.bias" in state:
        shifted = (weight * (mean / std).reshape(shape)).sum((1, 2, 3))
        state[f"{STEM}.bias"] = (state[f"{STEM}.bias"] + shifted).astype(np.float32)
    return replace(recovered, state=state), 1 / (BRIGHTEST * std), -mean / std
