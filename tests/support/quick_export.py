"""What PyTorch exporters work out anew for each file, and takes longer than a small model, done once."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import Tensor, nn

    Trace = Callable[..., ModelProto]

LARGE = 2_000_000  # parameters; the demo has fewer, ConvNeXt-T more


@contextmanager
def remembered(traced: Path) -> Iterator[None]:
    """Translate onnxscript's 500 functions, read their signatures, and look operators up once a process.

    Operators that a package registers later are looked up again: they change the number of registrations.
    traced: a folder of ONNX graphs that all processes of a run share, so that each is traced once.
    """
    import torch
    from onnxscript._framework_apis import torch_2_5
    from torch._export import utils
    from torch.onnx._internal.exporter import _schemas

    from convnext_edge.onnx_graph import tracing

    look_up = utils._materialize_cpp_cia_ops
    look_up_once = cache(lambda _registrations: look_up())
    registrations = torch._C._dispatch_get_registrations_for_dispatch_key
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_2_5, "get_torchlib_ops", cache(torch_2_5.get_torchlib_ops))
        patch.setattr(_schemas, "op_signature_from_function", cache(_schemas.op_signature_from_function))
        patch.setattr(
            utils,
            "_materialize_cpp_cia_ops",
            lambda: look_up_once(len(registrations("CompositeImplicitAutograd"))),
        )
        patch.setattr(tracing, "trace", traced_once(tracing.trace, traced))
        yield


def traced_once(trace: Trace, folder: Path) -> Trace:
    """Return `trace` that reads from `folder` what it was called with before, in any process."""
    from onnx import ModelProto

    @wraps(trace)  # tests of the exporter call what is wrapped
    def once(module: nn.Module, example: Tensor, *settings: object) -> ModelProto:
        known = identity(module, example, *settings)
        if known is None:
            return trace(module, example, *settings)
        path = folder / f"{known}.onnx"
        if path.exists():
            return ModelProto.FromString(path.read_bytes())
        made = trace(module, example, *settings)
        part = path.with_suffix(f".{os.getpid()}")
        with suppress(OSError):  # a test lets nobody write
            part.write_bytes(made.SerializeToString())
            part.replace(path)
        return made

    return once


def identity(module: nn.Module, example: Tensor, *settings: object) -> str | None:
    """Return a digest of all that a module computes with, and of what it is traced with.

    None where the module is large, or where it cannot be told by what pickle makes of it.
    """
    from torch.fx import GraphModule

    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    if sum(tensor.numel() for tensor in tensors.values()) > LARGE:
        return None
    # the code of a graph has all but its tensors
    whole = (module.code, tensors) if isinstance(module, GraphModule) else module
    told = io.BytesIO()
    try:
        ByValue(told).dump((whole, module.training, example, settings))
    except (AttributeError, TypeError, pickle.PicklingError):  # of local classes, and of bfloat16
        return None
    return hashlib.sha256(told.getvalue()).hexdigest()


class ByValue(pickle.Pickler):
    """Pickles tensors as digests of their values."""

    def persistent_id(self, item: Any) -> object:
        import torch

        if not isinstance(item, torch.Tensor):
            return None
        content = item.detach().contiguous().numpy().tobytes()
        return str(item.dtype), tuple(item.shape), item.requires_grad, hashlib.sha256(content).hexdigest()
