"""The processes that train together, on one machine or several; without torchrun, there is one."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import broadcast_object_list, gather_object

from convnext_edge.errors import UsageError
from convnext_edge.images.image_set import ImageSet
from convnext_edge.quiet import quiet

Made = TypeVar("Made")


def join(batch: int) -> Accelerator:
    """This process among those that torchrun started: NCCL between NVIDIA GPUs, otherwise gloo between CPUs.

    Raises UsageError where they cannot divide a batch of so many images.
    """
    # buffers are zero points and what follows from the weights: the same everywhere
    parallel = DistributedDataParallelKwargs(broadcast_buffers=False)
    with quiet():
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
    """End this process's part in the group: threads of gloo that outlive Python can abort it as it ends."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def from_first(accelerator: Accelerator, make: Callable[[], Made]) -> Made:
    """What the first process makes, in all of them."""
    made: list[Any] = [make() if accelerator.is_main_process else None]
    broadcast_object_list(made)
    first: Made = made[0]
    return first


def from_all(value: Made) -> list[Made]:
    """The value of each process, in all of them."""
    gathered: list[Made] = gather_object([value])
    return gathered


def check_same(settings: dict[str, Any]) -> None:
    """Raises UsageError where the processes would not train the same, as with other files on one machine."""
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
    """Names of the broken images that any process came across."""
    return tuple(sorted(set().union(*from_all([image.name for image in images.skipped]))))
