"""Answers of the FP32 reference, kept in the workspace, so that the next candidate costs only itself.

The folder `answers` has a file for each reference: its weights, architecture and version of PyTorch. In it,
an answer is known by the SHA-256 of the normalized pixels that it is an answer to, so that neither the name
of an image, nor how it is prepared, nor the order of a set can mix answers up. A file has a digest of all
that is in it: of one that is damaged, or that holds something else than answers, nothing is believed, and all
is computed again. Where nothing can be written, nothing is kept, and a note says so.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from convnext_edge.artifacts.artifact import Artifact
from convnext_edge.artifacts.files import remove_begun, write_bytes
from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.errors import ArtifactError
from convnext_edge.evaluation.comparison import Answer
from convnext_edge.evaluation.shards import Shard
from convnext_edge.progress import note
from convnext_edge.targets.base import Images, Outputs

SUFFIX = ".safetensors"
PIXELS = "pixels"  # the tensor of digests; `output0` and so on are the answers
SEAL = "seal"  # the tensor that is the digest of all others: a changed byte of an answer would show nowhere
DIGEST = hashlib.sha256().digest_size
LARGEST = 64 * 2**10  # bytes of the answer to an image: those of maps are not kept
MOST = 2**30  # bytes of all files; those not used for the longest are removed


class KeptAnswers:
    """A reference that remembers what it answered; `known` counts the images that it did not compute."""

    def __init__(self, reference: Answer, path: Path) -> None:
        self.reference, self.path = reference, path
        self.kept = read_answers(path)
        self.new: dict[bytes, Outputs] = {}
        self.asked: list[bytes] = []  # digests of all images, in the order in which they came
        self.known = 0

    def __call__(self, images: Images) -> Outputs:
        """Answer normalized images (N, channels, H, W); only those that are not known are computed."""
        keys = [digest(image) for image in images]
        self.asked += keys
        missing = self._missing(keys)
        if missing:
            answers = self.reference(images if len(missing) == len(keys) else images[missing])
            if self.kept and shapes_of(answers) != shapes_of_rows(next(iter(self.kept.values()))):
                self.kept = {}  # of another model, whatever their file is called
                missing = self._missing(keys)
                answers = self.reference(images[missing])
        self.known += len(keys) - len(missing)
        if missing:
            if sum(output[0].nbytes for output in answers) > LARGEST:
                return answers  # to all images: of such a reference, no answer is known
            self.new |= {keys[i]: tuple(o[row] for o in answers) for row, i in enumerate(missing)}
        rows = [self.new.get(key) or self.kept[key] for key in keys]
        return tuple(np.stack(column) for column in zip(*rows, strict=True))

    def _missing(self, keys: Sequence[bytes]) -> list[int]:
        """Return which of these images no answer is known to."""
        return [i for i, key in enumerate(keys) if key not in self.kept and key not in self.new]

    def keep(self) -> None:
        """Write what is new; where that fails, only a note says so."""
        if not self.new:
            if self.known:
                touch(self.path)
            return
        # another command may have written since
        content = answers_file(read_answers(self.path) | self.new)
        if len(content) > MOST:
            note(f"the answers of the reference are not kept: they would take {len(content) / 2**20:.0f} MiB")
            return
        try:
            write_bytes(self.path, content)
            remove_oldest(self.path.parent, keep=self.path)
        except (ArtifactError, OSError) as error:
            note(f"the answers of the reference are not kept: {error}")


@contextmanager
def kept_answers(reference: Answer, artifact: Artifact, workspace: Workspace) -> Iterator[KeptAnswers]:
    """Let the reference of an artifact remember its answers, and keep them at the end.

    Those up to an error are kept, too.
    """
    answers = KeptAnswers(reference, answers_path(artifact, workspace))
    try:
        yield answers
    finally:
        if workspace.folder.is_dir():
            answers.keep()


def keep_shards(shards: Sequence[Shard], artifact: Artifact, workspace: Workspace) -> None:
    """Keep what several processes found the reference of an artifact to answer."""
    rows = {
        key: tuple(output[i] for output in shard.outputs)
        for shard in shards
        for i, key in enumerate(shard.pixels)
    }
    answers = KeptAnswers(lambda images: (), answers_path(artifact, workspace))
    answers.new = {key: row for key, row in rows.items() if key not in answers.kept}
    answers.known = len(rows) - len(answers.new)
    answers.keep()


def answers_path(artifact: Artifact, workspace: Workspace) -> Path:
    """Return the file of the answers of an artifact's reference."""
    return workspace.answers / (reference_key(artifact) + SUFFIX)


def reference_key(artifact: Artifact) -> str:
    """Return what names a reference: a digest of its weights, its architecture and PyTorch's version."""
    described = artifact.description
    weights = artifact.sha256 if described.weights is None else described.weights.sha256
    parts = (weights, repr(described.architecture), described.task, version("torch"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def digest(image: NDArray[np.float32]) -> bytes:
    """Return what an image's answer is known by; the shape is part of it."""
    return hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).digest()


def read_answers(path: Path) -> dict[bytes, Outputs]:
    """Return the answers of a file by the digest of the pixels; none of a file that is damaged or absent."""
    try:
        found = load_file(path) if path.is_file() else {}
    except (OSError, SafetensorError, KeyError, TypeError):  # the last two: of types that NumPy does not have
        return {}
    if SEAL not in found or found.pop(SEAL).tobytes() != seal(found):
        return {}
    pixels = found.pop(PIXELS, np.empty(0))
    columns = [found[name] for name in sorted(found)]
    if not are_answers(pixels, columns):
        return {}
    return {key.tobytes(): row for key, row in zip(pixels, zip(*columns, strict=True), strict=True)}


def are_answers(pixels: NDArray[Any], columns: Sequence[NDArray[Any]]) -> bool:
    """Return whether tensors are digests of images and answers to them: anybody can seal a file."""
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (DIGEST,) or not columns:
        return False
    return all(
        column.dtype == np.float32
        and column.ndim > 1
        and len(column) == len(pixels)
        and bool(np.isfinite(column).all())
        for column in columns
    )


def shapes_of(answers: Outputs) -> list[tuple[int, ...]]:
    """Return the shape of each output for one image, of answers (N, ...)."""
    return [output.shape[1:] for output in answers]


def shapes_of_rows(answers: Outputs) -> list[tuple[int, ...]]:
    """Return the shape of each output, of the answers to one image."""
    return [output.shape for output in answers]


def answers_file(answers: dict[bytes, Outputs]) -> bytes:
    """Return the content of a file of answers."""
    pixels = np.frombuffer(b"".join(answers), np.uint8).reshape(len(answers), DIGEST)
    columns = zip(*answers.values(), strict=True)
    tensors = {PIXELS: pixels} | {f"output{i}": np.stack(column) for i, column in enumerate(columns)}
    return save({**tensors, SEAL: np.frombuffer(seal(tensors), np.uint8)})


def seal(tensors: dict[str, NDArray[Any]]) -> bytes:
    """Return a digest of names, types, shapes and values of tensors."""
    told = hashlib.sha256()
    for name, values in sorted(tensors.items()):
        told.update(f"{name} {values.dtype} {values.shape} ".encode())
        told.update(np.ascontiguousarray(values).data)
    return told.digest()


def touch(path: Path) -> None:
    """Mark a file as used; a folder that may only be read stays as it is."""
    try:
        path.touch()
    except OSError:
        return


def remove_oldest(folder: Path, *, keep: Path) -> None:
    """Remove the files of a folder that were not used for the longest, until all take MOST bytes at most."""
    remove_begun(folder)
    files = [(found, path) for path in folder.glob(f"*{SUFFIX}") if (found := stat_of(path)) and path != keep]
    room = MOST - keep.stat().st_size
    for found, path in sorted(files, key=lambda pair: pair[0].st_mtime_ns, reverse=True):
        room -= found.st_size
        if room < 0:
            path.unlink(missing_ok=True)


def stat_of(path: Path) -> os.stat_result | None:
    """Return what the system says of a file; None where another command has just removed it."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None
