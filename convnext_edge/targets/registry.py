"""The targets by name; a target's own module is imported only when the target is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from convnext_edge.artifacts.workspace import EXPORT
from convnext_edge.errors import UsageError, nearest

if TYPE_CHECKING:  # for the type alone: the names of the targets cost neither NumPy nor PyTorch
    from convnext_edge.targets.base import Target

DEFAULT = "openvino"
MODULES = {  # module and the name of the target in it
    "torch": ("convnext_edge.targets.torch", "TARGET"),
    "onnxruntime": ("convnext_edge.targets.onnxruntime", "TARGET"),
    "openvino": ("convnext_edge.targets.openvino", "TARGET"),
    "tensorrt": ("convnext_edge.targets.tensorrt.target", "TENSORRT"),
    "tensorrt-rtx": ("convnext_edge.targets.tensorrt.target", "TENSORRT_RTX"),
    "ort-mobile": ("convnext_edge.targets.phones.ort_mobile", "TARGET"),
    "executorch": ("convnext_edge.targets.phones.executorch", "TARGET"),
    "litert": ("convnext_edge.targets.phones.litert", "TARGET"),
    "coreml": ("convnext_edge.targets.phones.coreml", "TARGET"),
}
NAMES = tuple(MODULES)
ON_CPUS = ("openvino", "onnxruntime")  # the targets for x86 and ARM CPUs, the default first


def find_target(name: str) -> Target:
    """Return the target of that name; raise UsageError for an unknown one."""
    check_target(name)
    module, attribute = MODULES[name]
    return cast("Target", getattr(import_module(module), attribute))


def check_target(name: str) -> None:
    """Raise UsageError for a name that no target has; none is imported."""
    if name not in MODULES:
        raise UsageError(
            f"unknown target {name!r}", hint=f"{nearest(name, NAMES)}Known targets: {', '.join(NAMES)}."
        )


def command_that_makes_one(target: str | None) -> str:
    """Return what a user types to get a model for a target, or for the default one."""
    made = f"{EXPORT}, then convnext-edge quantize --calib NAME"
    return made + (f" --target {target}" if target else "")
