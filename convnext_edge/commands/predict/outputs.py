"""The outputs themselves: kept in memory where they are few, and saved in a file where that is asked for.

A file is written as the answers come, so that memory does not grow with the number of pictures: each output
goes to a file of its own first, as only the end tells how many pictures could be read.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from safetensors import safe_open

from convnext_edge.artifacts.store import is_artifact
from convnext_edge.errors import UsageError
from convnext_edge.targets.base import Outputs

MOST_BYTES = 2**26  # of all outputs that are kept in memory: the embeddings of 20,000 pictures
MADE_BY = "convnext-edge predict"  # by which a file of ours is known
# What the header of a .npy file of ours ends with: readers pass spaces over, and NumPy writes 83 at most.
MARK = b" " * 128 + b"\n"
BLOCK = 2**20  # bytes that are copied at a time
FLOAT = np.dtype("<f4")  # as both formats store it


@dataclass
class Kept:
    """The outputs of all pictures by name, each (N, ...); none where all of them would be too large."""

    names: tuple[str, ...]
    total: int  # pictures that were asked for
    arrays: dict[str, NDArray[np.float32]] | None = None
    _parts: list[Outputs] | None = field(default_factory=list)

    def add(self, outputs: Outputs) -> None:
        """Add the outputs of some more pictures."""
        size = sum(output.nbytes // len(output) for output in outputs) * self.total
        if size > MOST_BYTES:
            self._parts = None
        if self._parts is not None:
            self._parts.append(tuple(output.astype(np.float32) for output in outputs))

    def finish(self) -> None:
        """Join what was added."""
        if self._parts:
            joined = (np.concatenate(column) for column in zip(*self._parts, strict=True))
            self.arrays = dict(zip(self.names, joined, strict=True))
        self._parts = None


class Saver:
    """Writes the outputs to a .npy or .safetensors file, through a file beside it for each of them."""

    def __init__(self, path: Path, names: Sequence[str], metadata: dict[str, str]) -> None:
        """Begin a file with outputs of these names. metadata: what .safetensors says of them."""
        self.path = path
        self.metadata = {"made_by": MADE_BY, **metadata}
        self._raw = {name: path.with_name(f"{path.name}.{name}") for name in names}
        self._shapes: dict[str, tuple[int, ...]] = {}  # of one picture
        self._count = 0

    def add(self, outputs: Outputs) -> None:
        """Write the outputs of some more pictures."""
        for (name, raw), output in zip(self._raw.items(), outputs, strict=True):
            self._shapes[name] = output.shape[1:]
            with raw.open("ab") as file:
                file.write(np.ascontiguousarray(output, FLOAT).tobytes())
        self._count += len(outputs[0])

    def finish(self, pictures: Sequence[str]) -> None:
        """Put the file together. pictures: the names of those whose outputs were added."""
        with self.path.open("wb") as file:
            if self.path.suffix == ".npy":
                (shape,) = self._shapes.values()
                file.write(npy_header((self._count, *shape)))
            else:
                self._write_header(file, pictures)
            for raw in self._raw.values():
                with raw.open("rb") as part:
                    shutil.copyfileobj(part, file, BLOCK)
                raw.unlink()

    def _write_header(self, file: BinaryIO, pictures: Sequence[str]) -> None:
        """Write what stands before the tensors (https://github.com/huggingface/safetensors#format)."""
        header: dict[str, Any] = {"__metadata__": {**self.metadata, "pictures": json.dumps(list(pictures))}}
        end = 0
        for name, raw in self._raw.items():
            start, end = end, end + raw.stat().st_size
            shape = [self._count, *self._shapes[name]]
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
        file.write(len(text).to_bytes(8, "little") + text)


def check_place(path: Path, names: Sequence[str]) -> None:
    """Raise UsageError for a file that the outputs do not fit in, or that would take the place of another.

    Only what `predict` wrote is replaced. names: of the outputs.
    """
    if path.suffix not in (".npy", ".safetensors"):
        raise UsageError(
            f"--save {path} ends in neither .npy nor .safetensors",
            hint=".npy holds one output; .safetensors holds all, with the names of the pictures.",
        )
    if path.suffix == ".npy" and len(names) > 1:
        raise UsageError(
            f"--save {path} holds one output, and this model has {', '.join(names)}",
            hint=f"Take {path.with_suffix('.safetensors')}.",
        )
    if os.path.lexists(path) and (is_artifact(path) or not is_ours(path)):
        raise UsageError(
            f"--save {path} would take the place of a file that predict did not write",
            hint="Name another file, or take that one away.",
        )


def is_ours(path: Path) -> bool:
    """Return whether `predict` wrote a file."""
    if not path.is_file():
        return False
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "numpy") as file:
                return (file.metadata() or {}).get("made_by") == MADE_BY
        with path.open("rb") as stream:
            if npy.read_magic(stream) != (1, 0):
                return False
            return stream.read(int.from_bytes(stream.read(2), "little")).endswith(MARK)
    except Exception:  # on a damaged file, the readers raise errors of many kinds
        return False


def npy_header(shape: tuple[int, ...]) -> bytes:
    """Return what stands before an array in a .npy file of ours (numpy.lib.format, version 1.0)."""
    plain = BytesIO()
    descr = cast(str, npy.dtype_to_descr(FLOAT))
    npy.write_array_header_1_0(plain, {"descr": descr, "fortran_order": False, "shape": shape})
    magic, told = plain.getvalue()[: npy.MAGIC_LEN], plain.getvalue()[npy.MAGIC_LEN + 2 : -1] + MARK
    return magic + len(told).to_bytes(2, "little") + told
