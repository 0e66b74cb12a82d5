"""The errors that a user can cause.

    ConvNeXtEdgeError          exit code 1, shown without a traceback
    ├── CheckpointError        a weights file that is broken, foreign or not a ConvNeXt that we know
    ├── DownloadError          weights of a named variant that could not be downloaded
    ├── ArtifactError          a file of ours that is missing, damaged or does not match its sidecar
    ├── ImageSetError          images that are missing, empty, broken or ambiguous
    ├── RecipeError            a recipe with an unknown key or a value out of range
    ├── ExportError            a model that cannot be exported as asked
    ├── QuantizationError      a model that cannot be quantized as asked
    ├── TargetError            a runtime that is not installed, or refuses the graph
    ├── DeviceError            a device that cannot be reached, or cannot take what is to run there
    └── UsageError             exit code 2: options that contradict each other

Each message says what failed, with the value, and why; `hint` says what to do next.
A gate that is not met (accuracy, speed) is not an error: the result has `passed: false`, exit code 3.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class ConvNeXtEdgeError(Exception):
    """The base of all errors of this package; `str(error)` is the whole message for a person."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(f"{message}\n{hint}" if hint else message)
        self.message = message
        self.hint = hint


def nearest(word: str, known: Iterable[str], *, most: int = 3) -> str:
    """Return a sentence for a hint that names the known words nearest to one that is none of them.

    It ends with a space; it is empty where no word is near.
    """
    near = difflib.get_close_matches(word, list(known), n=most, cutoff=0.5)
    return f"Nearest {'are' if len(near) > 1 else 'is'} {', '.join(near)}. " if near else ""


def first_few(names: Sequence[str], most: int = 3) -> str:
    """Return the first names of a list for a message, with an ellipsis where there are more."""
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


class CheckpointError(ConvNeXtEdgeError):
    """A weights file that is broken, foreign or not a ConvNeXt that we know."""


class DownloadError(ConvNeXtEdgeError):
    """Weights of a named variant that could not be downloaded."""


class ArtifactError(ConvNeXtEdgeError):
    """A file of ours that is missing, damaged or does not match its sidecar."""


class ImageSetError(ConvNeXtEdgeError):
    """Images that are missing, empty, broken or ambiguous."""


class RecipeError(ConvNeXtEdgeError):
    """A recipe with an unknown key or a value out of range."""


class ExportError(ConvNeXtEdgeError):
    """A model that cannot be exported as asked."""


class QuantizationError(ConvNeXtEdgeError):
    """A model that cannot be quantized as asked."""


class TargetError(ConvNeXtEdgeError):
    """A runtime that is not installed, or refuses the graph."""


class DeviceError(ConvNeXtEdgeError):
    """A device that cannot be reached, or cannot take what is to run there."""


class UsageError(ConvNeXtEdgeError):
    """Options that contradict each other."""

    exit_code = 2
