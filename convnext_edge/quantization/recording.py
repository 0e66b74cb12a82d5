"""Runs of a model that record what goes into its layers, several at once on a thread or a few each.

Side by side, no thread waits for the others at the end of every operator: on two CPUs, all runs together are
done a tenth sooner than one after the other, and what recording costs is shared out with them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from convnext_edge.cpu import read_cpu, usable_cpus
from convnext_edge.network.exporter import running
from convnext_edge.network.threads import set_operator_threads
from convnext_edge.parallel import ordered_map

MOST_AT_ONCE = 8  # each run holds its activations: 0.3 GB of ConvNeXt-L's at 384 x 384
LARGE = 10_000_000  # weights: fewer are calibrated in seconds, of which bfloat16 would save a fifth

Name = TypeVar("Name", bound=Hashable)
Record = TypeVar("Record")
Item = TypeVar("Item")
Result = TypeVar("Result")


def record_inputs(
    model: nn.Module,
    batches: Iterable[Tensor],
    modules: Mapping[Name, nn.Module],
    record: Callable[[Name, Tensor], Record],
) -> Iterator[dict[Name, Record]]:
    """Run `model` on all `batches`; yield for each, in order, what `record` makes of the modules' inputs.

    record: is called with a module's name and its input, from several threads at once. Those inputs are
    bfloat16 where `in_bfloat16` says so.
    """
    local = threading.local()

    def add_hook(name: Name, module: nn.Module) -> RemovableHandle:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            local.records[name] = record(name, inputs[0])

        return module.register_forward_pre_hook(hook)

    bfloat16 = in_bfloat16(model)

    def run(batch: Tensor) -> dict[Name, Record]:
        local.records = {}
        with running(), torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            model(batch)
        records: dict[Name, Record] = local.records
        return records

    hooks = [add_hook(name, module) for name, module in modules.items()]
    try:
        yield from side_by_side(run, batches)
    finally:
        for hook in hooks:
            hook.remove()


def in_bfloat16(model: nn.Module) -> bool:
    """Return whether to run in bfloat16: a large model, on a CPU that multiplies it.

    Ranges and moments are not as fine as its 8 bits: over eight calibrations, the demo model's SQNR was the
    same to 0.05 dB.
    """
    weights = sum(weight.numel() for weight in model.parameters())
    return weights >= LARGE and read_cpu().multiplies_bfloat16


def side_by_side(
    function: Callable[[Item], Result], items: Iterable[Item], *, one_each: bool = False
) -> Iterator[Result]:
    """Map over worker threads that divide PyTorch's number of threads among them; results are in order.

    one_each: as many workers as there are threads, each with one; otherwise there are MOST_AT_ONCE at most.
    """
    threads = min(torch.get_num_threads(), usable_cpus())
    workers = threads if one_each else min(threads, MOST_AT_ONCE)
    prepare = partial(set_operator_threads, threads // workers)
    yield from ordered_map(function, items, workers=workers, look_ahead=workers, prepare=prepare)
