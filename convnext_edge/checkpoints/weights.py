"""Reading the tensors of a weights file, in the safetensors format or PyTorch's own.

The format shows in the first bytes, not in the name. PyTorch's format is a pickle, and a pickle can
hold code: it is read with `weights_only`, which builds tensors and plain containers and runs nothing.
"""

from __future__ import annotations

import argparse
import pickle
import re
import threading
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from convnext_edge.errors import CheckpointError
from convnext_edge.quiet import quiet
from convnext_edge.reading import shown

# Keys under which training scripts store the weights. The averaged ones come first: they are what the
# authors publish and evaluate.
WRAPPERS = ("state_dict_ema", "model_ema", "model", "state_dict")
# Put before each name by DistributedDataParallel, torch.compile and PyTorch Lightning.
PREFIXES = ("module.", "_orig_mod.", "model.")
# The training options, which the authors' own script stores beside the weights.
SAFE_TYPES: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [argparse.Namespace]
_SAFE = threading.Lock()

DEEPEST = 8  # wrappers in wrappers
LONGEST_NAME = 1000  # characters of a tensor's name
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
    "Give a .safetensors file, or a .pth file of tensors as torch.save(model.state_dict(), FILE) writes it."
)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the name and tensor of each weight in the file, without wrapper and without common prefix.

    Raises CheckpointError for a file that is missing, empty, damaged or of another format, or that holds
    Python objects besides tensors, or no tensors.
    """
    content = _read(path)
    return _without_prefix(_unwrap(content, path))


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
        # one at a time: the types are the process's; quiet: warnings repeat the errors below
        with _SAFE, torch.serialization.safe_globals(SAFE_TYPES), quiet():
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


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    for _ in range(DEEPEST):
        if not isinstance(content, Mapping):
            break
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            return _tensors(content, path)
        content = inner
    if isinstance(content, Mapping):  # it may even hold itself
        raise CheckpointError(f"{path} has wrappers in wrappers without end", hint=FORMATS_HINT)
    raise CheckpointError(f"{path} holds a {type(content).__name__}, not named tensors", hint=FORMATS_HINT)


def _tensors(content: Mapping[Any, Any], path: Path) -> dict[str, Tensor]:
    if not content:
        raise CheckpointError(f"{path} holds no tensors", hint=FORMATS_HINT)
    for name, value in content.items():
        if not isinstance(name, str) or len(name) > LONGEST_NAME or not name.isprintable():
            raise CheckpointError(
                f"{path} has the key {shown(name)}, which is no name of a weight", hint=FORMATS_HINT
            )
        if not isinstance(value, Tensor):
            keys = ", ".join(str(key) for key in list(content)[:5] if isinstance(key, str))
            raise CheckpointError(
                f"{path}: {name} is a {type(value).__name__}, not a tensor (the file's first keys: {keys})",
                hint=f"Weights are searched at the top level and under {', '.join(WRAPPERS)}.",
            )
        check_plain(value, f"{path}: {name}")
    return dict(content)


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


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    while prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in tensors)), None):
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors
