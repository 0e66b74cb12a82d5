"""The processes that train together, on one machine or several; without torchrun there is only one."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import broadcast_object_list, gather_object

from convnext_edge.errors import UsageError
from convnext_edge.images.image_set import ImageSet
from convnext_edge.quiet import importing

Made = TypeVar("Made")


def join(batch: int) -> Accelerator:
    """Join this process to those that torchrun started: with NCCL for NVIDIA GPUs, else with gloo for CPUs.

    Raises UsageError where the processes cannot divide a batch of `batch` images evenly.
    """
    # buffers are zero points and values that follow from the weights: the same in all processes
    parallel = DistributedDataParallelKwargs(broadcast_buffers=False)
    with importing():
        accelerator = Accelerator(
            cpu=not torch.cuda.is_available(), mixed_precision="no", kwargs_handlers=[parallel]
        )
    if torch.distributed.is_initialized():
        atexit.register(leave)
    if batch % accelerator.num_processes:
        raise UsageError(
            f"{accelerator.num_processes} processes cannot divide --batch {batch} evenly",
            hint="--batch counts the images of all processes together: give a multiple of their number.",
        )
    return accelerator


def leave() -> None:
    """Leave the group of processes.

    Threads of gloo that still run when Python ends can abort the process.
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def from_first(accelerator: Accelerator, make: Callable[[], Made]) -> Made:
    """Return in all processes what `make` returns in the first; it is called only there."""
    made: list[Any] = [make() if accelerator.is_main_process else None]
    broadcast_object_list(made)
    first: Made = made[0]
    return first


def from_all(value: Made) -> list[Made]:
    """Return in all processes the list of the values that they give, in the order of their numbers."""
    gathered: list[Made] = gather_object([value])
    return gathered


def check_same(settings: dict[str, Any]) -> None:
    """Raise UsageError where a setting differs between processes, such as the images on one machine."""
    first, *others = from_all(settings)
    for index, other in enumerate(others, 1):
        changed = [key for key in first if other[key] != first[key]]
        if changed:
            raise UsageError(
                f"process {index} has another {changed[0]} than the first: {other[changed[0]]!r}, not"
                f" {first[changed[0]]!r}",
                hint="Give each machine the same images, under the same paths.",
            )


def skipped_by_any(images: ImageSet) -> tuple[str, ...]:
    """Return the names of the broken images that any process found, sorted."""
    return tuple(sorted(set().union(*from_all([image.name for image in images.skipped]))))
