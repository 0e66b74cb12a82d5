"""Runs of a model with a look at what goes into its layers, several at once on a thread or a few each.

Side by side, no thread waits for the others at the end of every operator: on two CPUs, all runs together are
done a tenth sooner than one after the other, and what looking costs is shared out with them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from convnext_edge.cpu import read_cpu, usable_cpus
from convnext_edge.network.threads import operator_threads
from convnext_edge.parallel import ordered_map

MOST_AT_ONCE = 8  # each run holds its activations: 0.3 GB of ConvNeXt-L's at 384 x 384
LARGE = 10_000_000  # weights: fewer are calibrated in seconds, of which bfloat16 would save a fifth

Name = TypeVar("Name", bound=Hashable)
Look = TypeVar("Look")
Item = TypeVar("Item")
Result = TypeVar("Result")


def watch(
    module: nn.Module,
    batches: Iterable[Tensor],
    layers: Mapping[Name, nn.Module],
    look: Callable[[Name, Tensor], Look],
) -> Iterator[dict[Name, Look]]:
    """Run `module` on all `batches`; yields for each, in order, what `look` makes of the layers' inputs.

    look: is called with a layer's name and its input, from several threads at once. Those inputs are bfloat16
    where `in_bfloat16` says so.
    """
    taken = threading.local()

    def hook(name: Name, layer: nn.Module) -> RemovableHandle:
        def note(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            taken.seen[name] = look(name, inputs[0])

        return layer.register_forward_pre_hook(note)

    bfloat16 = in_bfloat16(module)

    def run(batch: Tensor) -> dict[Name, Look]:
        taken.seen = {}
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            module(batch)
        seen: dict[Name, Look] = taken.seen
        return seen

    handles = [hook(name, layer) for name, layer in layers.items()]
    try:
        yield from side_by_side(run, batches)
    finally:
        for handle in handles:
            handle.remove()


def in_bfloat16(module: nn.Module) -> bool:
    """Whether to run in bfloat16: a large model, on a CPU that multiplies it.

    Ranges and moments are not as fine as its 8 bits: over eight calibrations, the demo model's SQNR was the
    same to 0.05 dB.
    """
    weights = sum(weight.numel() for weight in module.parameters())
    return weights >= LARGE and read_cpu().multiplies_bfloat16


def side_by_side(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`map` over threads that share those which PyTorch was given; results are in order."""
    threads = min(torch.get_num_threads(), usable_cpus())
    workers = min(threads, MOST_AT_ONCE)
    with operator_threads(threads // workers):
        yield from ordered_map(function, items, workers=workers, look_ahead=workers)
