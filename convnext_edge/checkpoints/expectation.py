"""What a user's own model answers to given images, to prove that an export is that model."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from convnext_edge.artifacts.files import temporary_folder
from convnext_edge.checkpoints.source import Source
from convnext_edge.errors import ExportError, UsageError
from convnext_edge.network.convnext import as_tuple
from convnext_edge.network.exporter import running
from convnext_edge.reading import shown

CLOSE = 1e-4  # of the deviation of an output: the same function in another order of float32 additions
ROUNDING = 1e-6  # of the largest value: what adding up in another order changes, in a constant as well
MAX_BYTES = 2**27  # of the values in a file: 55 images of 448 pixels, or all maps of as many
MAX_MEMBERS = 100  # arrays in a .npz
ZIP = b"PK"  # what a .npz begins with
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
        if isinstance(images, Mapping) or images.ndim != 4 or not len(images):
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
        edge = min(self.images.shape[2:])
        if edge < source.reference.architecture.stride:
            raise UsageError(f"--input-data has images of {edge} pixels, too few for this model", hint=MAKE)
        found = self.answer_of(source)
        only = source.outputs[0] if len(source.outputs) == 1 else ""
        wanted = {name or only: answer for name, answer in self.answers.items()}
        if set(wanted) != set(found):
            has = ", ".join(map(shown, wanted)) if any(wanted) else "one array"
            raise UsageError(f"--expect has {has or 'nothing'}, the model {', '.join(found)}", hint=MAKE)
        return max(difference(name, answer, found[name], source) for name, answer in wanted.items())

    def answer_of(self, source: Source) -> dict[str, NDArray[np.float32]]:
        """Return the outputs of the model by their names; one image a call, as memory grows with the call."""
        images = torch.from_numpy(self.images)
        if source.preprocessing.channel_order == "bgr":  # as the user's model takes them
            images = images.flip(1)
        with torch.inference_mode(), running():
            calls = [as_tuple(source.reference(image[None])) for image in images]
        outputs = (np.concatenate([part.numpy() for part in parts]) for parts in zip(*calls, strict=True))
        return dict(zip(source.outputs, outputs, strict=True))


def difference(name: str, wanted: NDArray[Any], found: NDArray[np.float32], source: Source) -> float:
    """Return the largest difference of one output; raise as `Expectation.check` does."""
    if wanted.shape != found.shape:
        raise UsageError(f"--expect has {name} of shape {wanted.shape}, the model {found.shape}", hint=MAKE)
    wanted = wanted.astype(np.float64)  # whose squares are finite
    largest, deviation = float(np.abs(wanted - found).max()), float(wanted.std())
    if not largest <= CLOSE * deviation + ROUNDING * float(np.abs(wanted).max()):
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
        if not path.is_file():  # a pipe would be waited for
            raise ValueError("it is no file")
        with path.open("rb") as file:
            packed = file.read(len(ZIP)) == ZIP
        return read_packed(path) if packed else real(mapped(path))
    except UsageError:
        raise
    except Exception as error:  # what NumPy and zipfile raise depends on where the damage is
        why = str(error).partition(chr(10))[0] or type(error).__name__
        raise UsageError(f"{path} cannot be read as an array: {why}", hint=MAKE) from error


def mapped(path: Path) -> NDArray[Any]:
    """Return the array of a .npy file without reading it; one that claims more than there is raises."""
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
    with np.errstate(over="ignore"):  # of a shape that it multiplies before it compares it with the file
        return np.lib.format.open_memmap(path, mode="r")


def read_packed(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of a .npz file by their names, unpacked one after the other into a scratch folder."""
    with zipfile.ZipFile(path) as archive, temporary_folder() as folder:
        members = archive.infolist()
        if sum(member.file_size for member in members) > MAX_BYTES or len(members) > MAX_MEMBERS:
            raise ValueError(f"it unpacks to more than {MAX_BYTES:,} bytes, or {MAX_MEMBERS} arrays")
        arrays = {}
        for number, member in enumerate(members):
            place = folder / f"{number}.npy"  # never the name that the archive gives
            place.write_bytes(archive.read(member))
            arrays[member.filename.removesuffix(".npy")] = real(mapped(place))
    return arrays


def real(array: NDArray[Any]) -> NDArray[np.float32]:
    """Return numbers as float32; raise ValueError for what are none, and for what is not finite there."""
    if array.dtype.kind not in "fiu":
        raise ValueError(f"it holds values of type {array.dtype}")
    with np.errstate(over="ignore"):
        values = np.array(array, np.float32)
    if not np.isfinite(values).all():
        raise ValueError("it holds NaN, infinity or values beyond float32")
    return values
