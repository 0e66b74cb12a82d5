"""What PyTorch exporters work out anew for each file, and takes longer than a small model, done once."""

from __future__ import annotations

import copy
import hashlib
import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.quick_trace import filled, told_apart, write

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import Tensor, nn
    from torch.fx import GraphModule

    Trace = Callable[..., ModelProto]
    Export = Callable[[nn.Module, Tensor], GraphModule]
    Simulate = Callable[[Path], GraphModule]

LARGE = 4_000_000  # numbers; the quantized demo has fewer, ConvNeXt-T more
FEW_BYTES = 4 * LARGE


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
    from convnext_edge.quantization import insert_qdq
    from convnext_edge.targets import torch as torch_target

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
        patch.setattr(insert_qdq, "export_program", exported_once(insert_qdq.export_program))
        patch.setattr(torch_target, "to_torch", simulated_once(torch_target.to_torch))
        yield


def traced_once(trace: Trace, folder: Path) -> Trace:
    """Return `trace` that reads from `folder` what it was called with before, in any process.

    Modules that differ in values only are traced once; what the exporter wrote is optimized for each of them.
    """
    from onnx import ModelProto

    @wraps(trace)  # tests of the exporter call what is wrapped
    def once(module: nn.Module, example: Tensor, *settings: object) -> ModelProto:
        known = identity(module, example, *settings)
        path = folder / f"{known}.onnx"
        if path.exists():
            return ModelProto.FromString(path.read_bytes())
        with exported_alike(module, example, settings, folder):
            made = trace(module, example, *settings)
        if known:
            write(path, made)
        return made

    return once


@contextmanager
def exported_alike(module: nn.Module, example: Tensor, settings: object, folder: Path) -> Iterator[None]:
    """Let `torch.onnx.export` read from `folder` what it wrote of a module that differs in values only."""
    import torch

    weights = weights_of(module)
    code, codes = told_apart(module) if isinstance(module, torch.fx.GraphModule) else (module, [])
    names = {id(held): name for name, held in weights.items()}
    alike = digest((code, weights, module.training, example, settings), names)
    if alike is None:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            torch.onnx, "export", filled(torch.onnx.export, folder / f"{alike}.alike", weights, codes)
        )
        yield


def identity(module: nn.Module, example: Tensor, *settings: object) -> str | None:
    """Return a digest of all that a module computes with, and of what it is traced with.

    None where the module is large, or where it cannot be told by what pickle makes of it.
    """
    from torch.fx import GraphModule

    tensors = weights_of(module)
    if sum(tensor.numel() for tensor in tensors.values()) > LARGE:
        return None
    # the code of a graph has all but its tensors
    whole = (module.code, tensors) if isinstance(module, GraphModule) else module
    return digest((whole, module.training, example, settings))


def exported_once(export: Export) -> Export:
    """Return `export_program` that looks once a process at modules that differ in the values of weights only.

    What it returns is a copy of the graph with the module's own weights.
    """
    graphs: dict[str, GraphModule] = {}

    @wraps(export)
    def once(module: nn.Module, example: Tensor, **how: bool) -> GraphModule:
        weights = weights_of(module)
        alike = digest((module, module.training, example, how), {id(held): n for n, held in weights.items()})
        if alike is None:
            return export(module, example, **how)
        if alike not in graphs:
            graphs[alike] = export(module, example, **how)
        graph = graphs[alike]
        made = copy.deepcopy(graph, {id(held): held for held in weights_of(graph).values()})
        for name in weights.keys() & weights_of(made).keys():
            owner, _, attribute = name.rpartition(".")
            setattr(made.get_submodule(owner), attribute, weights[name])
        return made

    return once


def simulated_once(simulate: Simulate) -> Simulate:
    """Return `to_torch` that makes a module of each file once a process: sessions change none."""
    modules: dict[str, GraphModule] = {}

    @wraps(simulate)
    def once(path: Path) -> GraphModule:
        beside = path.with_name(f"{path.name}.data")
        if not path.is_file() or path.stat().st_size > FEW_BYTES or beside.exists():
            return simulate(path)
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        if content not in modules:
            modules[content] = simulate(path)
        return modules[content]

    return once


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name, with all names of those that have several."""
    parameters = module.named_parameters(remove_duplicate=False)
    return {**dict(parameters), **dict(module.named_buffers(remove_duplicate=False))}


def digest(told: object, names: Mapping[int, str] | None = None) -> str | None:
    """Return a digest of what pickle makes of something, or None where it cannot be pickled."""
    pickled = io.BytesIO()
    try:
        TensorsAside(pickled, names or {}).dump(told)
    except (AttributeError, TypeError, ValueError, pickle.PicklingError):
        # of local classes, of bfloat16, and of what holds itself
        return None
    return hashlib.sha256(pickled.getvalue()).hexdigest()


class TensorsAside(pickle.Pickler):
    """Pickles tensors as digests of their values, and those whose `id` has a name without their values."""

    def __init__(self, file: io.BytesIO, names: Mapping[int, str]) -> None:
        super().__init__(file)
        self.names = names
        self.fast = True  # otherwise equal objects make another pickle than one object that is held twice

    def persistent_id(self, item: Any) -> object:
        import torch

        if not isinstance(item, torch.Tensor):
            return None
        kind = str(item.dtype), tuple(item.shape), item.stride(), item.requires_grad
        if id(item) in self.names:
            return *kind, self.names[id(item)]
        return *kind, hashlib.sha256(item.detach().contiguous().numpy().tobytes()).hexdigest()
