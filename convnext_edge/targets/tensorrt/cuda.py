"""The NVIDIA GPUs of this machine, as their driver tells of them."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from typing import Any

from convnext_edge.errors import TargetError

DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
# CUdevice_attribute of the CUDA driver API
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76
NAME_BYTES = 256
NO_DRIVER = "NVIDIA's driver is not installed"
NO_GPU = "the driver finds no NVIDIA GPU"


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU of this machine."""

    name: str
    compute_capability: str  # as "8.9"


@dataclass(frozen=True)
class NoGpu:
    """The reason why there is no GPU to use."""

    reason: str  # NO_DRIVER or NO_GPU


def find_gpu() -> Gpu | NoGpu:
    """Return the first GPU."""
    found = find_gpus()
    return found if isinstance(found, NoGpu) else found[0]


def find_gpus() -> tuple[Gpu, ...] | NoGpu:
    """Return all GPUs, at least one, in the order of the driver.

    It asks the driver itself, so that neither CUDA nor PyTorch need be installed.
    """
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return NoGpu(NO_DRIVER)
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return NoGpu(NO_GPU)
    return tuple(_describe(driver, index) for index in range(count.value))


def _describe(driver: Any, index: int) -> Gpu:
    device = ctypes.c_int()
    driver.cuDeviceGet(ctypes.byref(device), index)
    name = ctypes.create_string_buffer(NAME_BYTES)
    driver.cuDeviceGetName(name, NAME_BYTES, device)
    major, minor = (_attribute(driver, which, device) for which in (CAPABILITY_MAJOR, CAPABILITY_MINOR))
    return Gpu(name.value.decode(errors="replace"), f"{major}.{minor}")


def _attribute(driver: Any, which: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    driver.cuDeviceGetAttribute(ctypes.byref(value), which, device)
    return value.value


def cuda_torch() -> Any:
    """Return PyTorch, which holds an engine's inputs and outputs on the GPU.

    Raises TargetError where it was built without CUDA.
    """
    import torch

    if not torch.cuda.is_available():
        raise TargetError(
            f"there is a GPU, but PyTorch {torch.__version__} cannot use it: it holds the images on the GPU",
            hint="Install PyTorch with CUDA: https://pytorch.org/get-started/locally/",
        )
    return torch
