"""From what a training script saved to named tensors: mappings in mappings, with other values beside.

A tensor is named by the keys that lead to it, with a dot between: {"model": {"head.bias": ...}} holds
`model.head.bias`. Which of them are a ConvNeXt is found by their names and shapes, see `places`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from convnext_edge.errors import CheckpointError
from convnext_edge.reading import shown

DEEPEST = 16  # mappings in mappings; the weights lie in the first five, settings may go on
LONGEST_NAME = 1000  # characters of a tensor's name
PARAMETER = re.compile(r"(.*\.)?(weight|bias|w|b)", re.IGNORECASE | re.DOTALL)
# What torch.compile, FSDP and activation checkpointing put before the name of a module that they wrap
WRAPPED = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# The keys of torch's and of fastai's optimizers.
OPTIMIZERS = ({"state", "param_groups"}, {"state", "hypers"})
HINT = (
    "Give a .safetensors file, a .pth file of tensors as torch.save(model.state_dict(), FILE) writes it,"
    " or an .onnx file."
)


@dataclass(frozen=True)
class Contents:
    """The tensors of a file."""

    tensors: dict[str, Tensor]  # by their names
    # What holds tensors and, by its structure, no weights: optimizers, lists, and numbers beside mappings.
    aside: tuple[str, ...] = ()


def flatten(content: Any, path: Path) -> Contents:
    """Return the tensors in the object that was read from the file at `path`.

    Raises CheckpointError for an object of another kind, for no tensors, and for what is no name of a weight.
    """
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not named tensors", hint=HINT)
    walk = _Walk(path)
    walk.enter(content, (), DEEPEST)
    if not walk.tensors:
        keys = ", ".join(shown(key, str) for key in list(content)[:5])
        found = "has wrappers in wrappers without end" if walk.endless else "holds no tensors"
        raise CheckpointError(f"{path} {found}" + (f" (its keys: {keys})" if keys else ""), hint=HINT)
    return Contents(walk.tensors, tuple(walk.aside))


class _Walk:
    """The way through mappings in mappings; each is entered once, whatever leads to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tensors: dict[str, Tensor] = {}
        self.aside: list[str] = []
        self.endless = False  # whether some mapping was too deep, or holds itself
        self._entered: set[int] = set()

    def enter(self, content: Mapping[Any, Any], way: tuple[str, ...], deepest: int) -> None:
        self._entered.add(id(content))
        contains = any(isinstance(value, Mapping) for value in content.values())
        for key, value in content.items():
            if isinstance(value, Tensor):
                self._take(key, value, way, contains=contains)
            elif isinstance(value, Mapping):
                self._enter_inner(value, (*way, shown(key, str)), deepest)
            elif isinstance(value, list | tuple) and any(isinstance(part, Tensor) for part in value):
                self.aside.append(".".join((*way, shown(key, str))))

    def _enter_inner(self, value: Mapping[Any, Any], way: tuple[str, ...], deepest: int) -> None:
        if any(keys <= set(value) for keys in OPTIMIZERS) or _has_numbers_as_names(value):
            self.aside.append(".".join(way))
        elif deepest and id(value) not in self._entered:
            self.enter(value, way, deepest - 1)
        else:
            self.endless = True

    def _take(self, key: Any, tensor: Tensor, way: tuple[str, ...], *, contains: bool) -> None:
        name = ".".join((*way, str(key))) if isinstance(key, str) else ""
        if not name or len(name) > LONGEST_NAME or not name.isprintable() or name in self.tensors:
            raise CheckpointError(
                f"{self.path} has the key {shown(key)}, which is no name of a weight", hint=HINT
            )
        if contains and _is_no_weight(key, tensor):
            self.aside.append(name)
        else:
            self.tensors[name] = tensor


def _is_no_weight(key: str, tensor: Tensor) -> bool:
    """Tell whether a tensor beside mappings is a best accuracy, or the state of a random generator.

    Not where its name has dots: scripts save {**model.state_dict(), "args": {...}}, too.
    """
    named = "." in key or PARAMETER.fullmatch(key) is not None
    return not named and (tensor.dim() < 2 or not tensor.is_floating_point())


def _has_numbers_as_names(content: Mapping[Any, Any]) -> bool:
    """Tell whether the tensors of a mapping are numbered, as those of an average by parameters are."""
    return any(isinstance(value, Tensor) for value in content.values()) and not any(
        isinstance(key, str) for key in content
    )


def unwrapped(tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Return the tensors by the names that they have in a module which nothing wraps, in whole or in part.

    where: name of the checkpoint, for messages. Raises CheckpointError where two get one name.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = WRAPPED.sub("", name)
        if plain in found:
            raise CheckpointError(
                f"{where} has {plain} twice, in a wrapper of PyTorch and without one",
                hint="Save the state of one of the two in a file of its own.",
            )
        found[plain] = tensor
    return found


def shapes_of(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and the shape of each tensor; one without a shape has ()."""
    for name, tensor in tensors.items():
        yield name, () if tensor.is_nested else tuple(tensor.shape)
