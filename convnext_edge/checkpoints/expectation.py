"""What a user's own model answers to given images, to prove that an export is that model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from convnext_edge.checkpoints.source import Source
from convnext_edge.errors import ExportError, UsageError
from convnext_edge.network.convnext import as_tuple
from convnext_edge.network.exporter import running

CLOSE = 1e-4  # of the deviation of an output: the same function in another order of float32 additions
MAKE = "Save arrays with numpy.save; of several outputs, with numpy.savez under their names."


@dataclass(frozen=True)
class Expectation:
    """Images, and what the user's model answers to them."""

    images: NDArray[np.float32]  # (N, channels, H, W), normalized
    answers: Mapping[str, NDArray[np.float32]]  # by the names of outputs; "" where it is the only one

    @classmethod
    def at(cls, expect: Path | None, input_data: Path | None) -> Expectation | None:
        """Read the files of --expect and --input-data; None where neither is given.

        Raises UsageError where one is missing or cannot be read.
        """
        if expect is None and input_data is None:
            return None
        if expect is None or input_data is None:
            raise UsageError("--expect and --input-data belong together", hint="Give both.")
        images = read_array(input_data)
        if isinstance(images, Mapping) or images.ndim != 4:
            raise UsageError(f"{input_data} holds no images (N, channels, H, W)", hint=MAKE)
        answers = read_array(expect)
        return cls(images, answers if isinstance(answers, Mapping) else {"": answers})

    def check(self, source: Source) -> float:
        """Return the largest difference of an output of the model to what is expected.

        Raises UsageError for arrays of other shapes, ExportError where the model answers something else.
        """
        channels = source.reference.architecture.channels
        if self.images.shape[1] != channels:
            raise UsageError(
                f"--input-data has {self.images.shape[1]} channels, the model takes {channels}", hint=MAKE
            )
        with torch.inference_mode(), running():
            outputs = as_tuple(source.reference(torch.from_numpy(self.images)))
        found = dict(zip(source.outputs, (output.numpy() for output in outputs), strict=True))
        wanted = {name or source.outputs[0]: answer for name, answer in self.answers.items()}
        if unknown := [name for name in wanted if name not in found]:
            raise UsageError(f"--expect has {unknown[0]}, the model {', '.join(found)}", hint=MAKE)
        return max(difference(name, answer, found[name], source) for name, answer in wanted.items())


def difference(name: str, wanted: NDArray[Any], found: NDArray[np.float32], source: Source) -> float:
    """Return the largest difference of one output; raise as `Expectation.check` does."""
    if wanted.shape != found.shape:
        raise UsageError(f"--expect has {name} of shape {wanted.shape}, the model {found.shape}", hint=MAKE)
    largest, deviation = float(np.abs(wanted - found).max()), float(wanted.std())
    if not largest <= CLOSE * deviation:
        assumed = f" What was assumed: {', '.join(source.assumed)}." if source.assumed else ""
        raise ExportError(
            f"{source.stem} is not the model of --expect: {name} differs by {largest:.3g}, which is"
            f" {largest / deviation if deviation else float('inf'):.2g} of its deviation.{assumed}",
            hint="Say what shows in no tensor: --activation, --norm-eps, --norm, --pooling, --output-stride.",
        )
    return largest


def read_array(path: Path) -> NDArray[np.float32] | dict[str, NDArray[np.float32]]:
    """Return the array of a .npy file, or those of a .npz by name; raise UsageError where it is neither."""
    try:
        held = np.load(path, allow_pickle=False)
        if isinstance(held, np.ndarray):
            return held.astype(np.float32)
        with held:
            return {name: held[name].astype(np.float32) for name in held.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise UsageError(f"{path} cannot be read as an array: {error}", hint=MAKE) from error
