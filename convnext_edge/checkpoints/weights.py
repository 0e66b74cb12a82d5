"""Reading the tensors of a weights file, in the safetensors format or PyTorch's own.

The format shows in the first bytes, not in the name. PyTorch's format is a pickle, and a pickle can
hold code: it is read with `weights_only`, which builds tensors and plain containers and runs nothing. What
else training scripts store is passed over where it is on a list, see `harmless`.
"""

from __future__ import annotations

import pickle
import re
import threading
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from convnext_edge.checkpoints.containers import Contents, flatten
from convnext_edge.checkpoints.harmless import SUBSTITUTES
from convnext_edge.errors import CheckpointError
from convnext_edge.quiet import quiet

_SAFE = threading.Lock()

# What a tensor may be besides an array of numbers.
KINDS: tuple[tuple[str, Callable[[Tensor], bool]], ...] = (
    ("nested", lambda tensor: bool(tensor.is_nested)),
    ("sparse", lambda tensor: tensor.layout != torch.strided),
    ("quantized", lambda tensor: tensor.is_quantized),
    ("complex", lambda tensor: tensor.is_complex()),
    ("meta", lambda tensor: tensor.is_meta),  # a shape without values
    ("special", lambda tensor: type(tensor) not in (Tensor, torch.nn.Parameter)),
)
PLAIN_HINT = "Save plain float weights: dense, on the CPU, and not quantized."

FORMATS_HINT = (
    "Give a .safetensors file, a .pth file of tensors as torch.save(model.state_dict(), FILE) writes it,"
    " or an .onnx file."
)


def read_contents(paths: Sequence[Path]) -> Contents:
    """Read the name and tensor of each weight in a file, or in all parts of a model that is saved in several.

    Raises CheckpointError for a file that is missing, empty, damaged or of another format, or that holds
    Python objects besides tensors, or no tensors; and for a name that two parts have.
    """
    parts = [flatten(_read(path), path) for path in paths]
    tensors = {name: tensor for part in parts for name, tensor in part.tensors.items()}
    if len(tensors) < sum(len(part.tensors) for part in parts):
        raise CheckpointError(
            f"{paths[0].parent} has parts of a model with the same tensors", hint="Download it again."
        )
    return Contents(tensors, tuple(name for part in parts for name in part.aside))


def _read(path: Path) -> Any:
    head = _first_bytes(path)
    if head[:4] == b"PK\x03\x04":
        _check_archive(path)
    if head[:4] == b"PK\x03\x04" or head[:1] == b"\x80":  # a zip archive, or a pickle as before PyTorch 1.6
        return _read_pickle(path)
    if head[8:9] == b"{":  # the length of a JSON header in 8 bytes, then the header
        return _read_safetensors(path)
    raise CheckpointError(
        f"{path} is neither a safetensors nor a PyTorch file: it begins with {head[:8]!r}", hint=FORMATS_HINT
    )


def _first_bytes(path: Path) -> bytes:
    if path.exists() and not path.is_file() and not path.is_dir():  # opening a pipe would wait for ever
        raise CheckpointError(f"{path} is no regular file", hint="Save the weights to a file first.")
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}", hint="Check the path.") from error
    if not head:
        raise CheckpointError(f"{path} is empty (0 bytes)", hint="Copy or download it again.")
    return head


def _check_archive(path: Path) -> None:
    """Refuse an archive that unpacks to more than it holds: PyTorch stores its tensors as they are."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except Exception as error:  # what zipfile raises depends on where the damage is
        raise _damaged(path, "PyTorch", error) from error
    if unpacked > path.stat().st_size:
        raise CheckpointError(
            f"{path} unpacks to {unpacked:,} bytes, more than the {path.stat().st_size:,} that it has:"
            " PyTorch does not compress what it saves",
            hint="Save it again: torch.save(model.state_dict(), FILE).",
        )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except MemoryError as error:
        raise _too_large(path) from error
    except Exception as error:  # besides its own: of types that PyTorch lacks, KeyError and AttributeError
        raise _damaged(path, "safetensors", error) from error


def _read_pickle(path: Path) -> Any:
    try:
        # one at a time: the substitutes are the process's; quiet: warnings repeat the errors below
        with _SAFE, torch.serialization.safe_globals(SUBSTITUTES), quiet():
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
        if foreign is None:
            raise _damaged(path, "PyTorch", error) from error
        raise CheckpointError(
            f"{path} holds more than tensors: reading it would call {foreign[1]}, which could run any code",
            hint="Save the weights alone, if you trust the file: torch.save(model.state_dict(), FILE).",
        ) from error
    except MemoryError as error:
        raise _too_large(path) from error
    except Exception as error:  # what PyTorch raises depends on where the damage is
        raise _damaged(path, "PyTorch", error) from error


def _too_large(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} ({path.stat().st_size:,} bytes) claims more memory than there is",
        hint="If it is not damaged, end other programs, or take a machine with more memory.",
    )


def _damaged(path: Path, form: str, error: Exception) -> CheckpointError:
    found = str(error).split(". ")[0].split("\n")[0].strip() or type(error).__name__
    if isinstance(error, pickle.UnpicklingError):  # its text only explains `weights_only`
        found = "its pickle is not one that PyTorch writes"
    size = f"{path.stat().st_size:,} bytes"
    return CheckpointError(
        f"{path} ({size}) is not a {form} weights file, or is truncated or damaged: {found}",
        hint=FORMATS_HINT,
    )


def check_plain(tensor: Tensor, where: str) -> None:
    """Raise CheckpointError for a tensor that is not an array of numbers, each with a place in the file.

    where: file and name of the tensor, for the message.
    """
    kind = next((text for text, found in KINDS if found(tensor)), None)
    if kind is not None:
        raise CheckpointError(
            f"{where} is a {kind} tensor, not an array of floating-point numbers", hint=PLAIN_HINT
        )
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise CheckpointError(
            f"{where} claims the shape {tuple(tensor.shape)}, for which the file has only"
            f" {tensor.untyped_storage().nbytes():,} bytes: its values lie over each other",
            hint="Save it with .contiguous(), if the file is from a source that you trust.",
        )
