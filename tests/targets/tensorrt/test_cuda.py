"""The GPUs of a machine, from a stand-in of NVIDIA's driver."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest

from convnext_edge import doctor
from convnext_edge.targets.tensorrt import cuda
from convnext_edge.targets.tensorrt.cuda import NO_DRIVER, NO_GPU, Gpu, NoGpu, find_gpu, find_gpus

# attributes 75 and 76 of CUdevice_attribute in cuda.h: compute capability, major and minor
GPUS = [("NVIDIA H100 80GB HBM3", {75: 9, 76: 0}), ("NVIDIA T4", {75: 7, 76: 5})]


class Driver:
    """The calls of libcuda that tell of GPUs, with its signatures; handles are 100 and up."""

    def __init__(self, gpus: list[tuple[str, dict[int, int]]], status: int = 0) -> None:
        self.gpus, self.status, self.ready = gpus, status, False

    def cuInit(self, flags: int) -> int:  # noqa: N802  as NVIDIA spells it
        self.ready = not self.status
        return self.status

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self.gpus)
        return 0 if self.ready else 3

    def cuDeviceGet(self, device: Any, index: int) -> int:  # noqa: N802
        device._obj.value = 100 + index
        return 0

    def cuDeviceGetName(self, name: Any, length: int, device: ctypes.c_int) -> int:  # noqa: N802
        name.value = self.gpus[device.value - 100][0].encode()[: length - 1]
        return 0

    def cuDeviceGetAttribute(self, value: Any, which: int, device: ctypes.c_int) -> int:  # noqa: N802
        value._obj.value = self.gpus[device.value - 100][1][which]
        return 0


def install(monkeypatch: pytest.MonkeyPatch, driver: Driver | None) -> None:
    def load(name: str) -> Driver:
        assert name == cuda.DRIVER
        if driver is None:
            raise OSError(f"{name}: cannot open shared object file")
        return driver

    # PyTorch loads libraries by the same function: only this module gets another
    monkeypatch.setattr(cuda, "ctypes", SimpleNamespace(**{**vars(ctypes), "CDLL": load}))


def test_all_gpus_are_found_and_the_first_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Driver(GPUS))
    assert find_gpus() == (Gpu("NVIDIA H100 80GB HBM3", "9.0"), Gpu("NVIDIA T4", "7.5"))
    assert find_gpu() == Gpu("NVIDIA H100 80GB HBM3", "9.0")


@pytest.mark.parametrize(
    ("driver", "reason"),
    [(None, NO_DRIVER), (Driver([]), NO_GPU), (Driver(GPUS, status=100), NO_GPU)],
    ids=["no driver", "no GPU", "CUDA_ERROR_NO_DEVICE"],
)
def test_without_a_gpu_the_reason_is_told(
    driver: Driver | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, driver)
    assert find_gpus() == find_gpu() == NoGpu(reason)
    assert doctor().gpus == ()


def test_doctor_names_every_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Driver(GPUS))
    assert doctor().gpus == ("NVIDIA H100 80GB HBM3", "NVIDIA T4")
