"""What the tests of engines share: the answers of a model on a target, and how close two answers are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from convnext_edge.artifacts.store import open_artifact
from convnext_edge.targets.registry import find_target


def answers(model: Path, target: str, images: np.ndarray) -> np.ndarray:
    """Return the logits of an artifact on a target, on one thread."""
    with find_target(target).open_session(open_artifact(model), threads=1) as session:
        return session.run(images)


def answers_of_onnxruntime(model: Path, images: np.ndarray) -> np.ndarray:
    """Return the logits of an ONNX file in ONNX Runtime as it comes, without our session."""
    logits: np.ndarray = onnxruntime.InferenceSession(model).run(None, {"image": images})[0]
    return logits


def sqnr(expected: np.ndarray, found: np.ndarray) -> float:
    """Return the signal-to-quantization-noise ratio in dB; of equal answers, a finite number too."""
    noise = np.square(expected - found).sum()
    return float(10 * np.log10(np.square(expected).sum() / max(noise, 1e-30)))


def agreement(expected: np.ndarray, found: np.ndarray) -> float:
    """Return the share of images of which both have the same best class."""
    return float(np.mean(expected.argmax(1) == found.argmax(1)))
