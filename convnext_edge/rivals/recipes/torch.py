"""PyTorch: the model as it is, and compiled by inductor."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from convnext_edge.rivals.rival import Call, Given


def keep(given: Given, _folder: Path) -> Path:
    """Return the weights as they are."""
    return given.weights


def run(path: Path, threads: int, *, bfloat16: bool = False, compiled: bool = False) -> Call:
    """Load the module. bfloat16: by autocast. compiled: by inductor, with constants folded (freezing)."""
    from convnext_edge.checkpoints.loading import load_checkpoint  # there is more of it than a rival has

    model: Any = load_checkpoint(path).model
    return as_call(compile_frozen(model) if compiled else model, threads, bfloat16=bfloat16)


def compile_frozen(model: Any, *, cpp_wrapper: bool = False) -> Any:
    """Compile a module by inductor. cpp_wrapper: call the kernels from C++ in place of Python."""
    import torch._inductor.config as inductor

    inductor.freezing = True
    inductor.cpp_wrapper = cpp_wrapper
    return torch.compile(model)


def as_call(model: Any, threads: int, *, bfloat16: bool = False) -> Call:
    """Return what runs a module."""
    torch.set_num_threads(threads)

    def call(images: Any) -> Any:
        kind: AbstractContextManager[object] = (
            torch.autocast("cpu", torch.bfloat16) if bfloat16 else nullcontext()
        )
        with torch.no_grad(), kind:
            logits = model(torch.from_numpy(images))
        return (logits[0] if isinstance(logits, tuple) else logits).float().numpy()

    return call
