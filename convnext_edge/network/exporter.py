"""PyTorch's exporters, and what works on their graphs: one thread at a time, while no module runs.

While they trace, torch.fx puts functions of its own into `nn.Module`, and torch.export turns off the fast
kernels of the whole process. Modules of ours wait until that is over. The host's cannot know: lest they fail,
what torch.fx puts in holds for the tracing thread alone. That other kernels round otherwise is left.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
import torch.fx.config
from torch.fx import _symbolic_trace
from torch.fx.traceback import NodeSource

from convnext_edge.guest import ALONE, Turns, replaced
from convnext_edge.quiet import quiet

_MODULES = Turns()


def running() -> AbstractContextManager[None]:
    """Run modules, of which several threads do so at once, while no thread traces."""
    return _MODULES.shared()


@contextmanager
def exporter() -> Iterator[None]:
    """Let no other thread trace, be quiet, and leave PyTorch's random numbers as they were.

    Nor are stack traces kept with the nodes: to collect them takes time, and no file of ours has them.

    PyTorch's exporters and torchao's passes over their graphs keep state in the process while they work, and
    torchao draws its examples from the random numbers of the process.
    """
    with (
        ALONE,
        _MODULES.alone(),
        quiet(),
        torch.random.fork_rng(devices=[]),
        replaced(_symbolic_trace._Patcher, "patch_method", _patch_here),
        replaced(torch.fx.config, "do_not_emit_stack_traces", True),
        _notes_shared(),
    ):
        yield


@contextmanager
def _notes_shared() -> Iterator[None]:
    """Let nodes share what torch.fx notes of the nodes that they come from, which nobody changes.

    Otherwise it copies each note with all notes before it, for every node in every pass.
    """
    usual = vars(NodeSource).get("__deepcopy__")  # set already where one exporter calls another
    NodeSource.__deepcopy__ = _itself  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if usual is None:
            del NodeSource.__deepcopy__  # type: ignore[attr-defined]


def _itself(note: NodeSource, _copied: dict[int, Any]) -> NodeSource:
    return note


_patch_everywhere = _symbolic_trace._Patcher.patch_method


def _patch_here(
    patcher: Any, owner: type, name: str, new: Callable[..., Any], deduplicate: bool = True
) -> None:
    """Do what `patch_method` of torch.fx does, for this thread alone."""
    usual, tracing = getattr(owner, name), threading.get_ident()

    @functools.wraps(new)
    def here(*arguments: Any, **options: Any) -> Any:
        function = new if threading.get_ident() == tracing else usual
        return function(*arguments, **options)

    _patch_everywhere(patcher, owner, name, here, deduplicate)
