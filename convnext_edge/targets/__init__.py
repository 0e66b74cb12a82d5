"""Targets: one module a runtime, the only places that import a vendor's package."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from convnext_edge.errors import UsageError
from convnext_edge.targets.base import Availability, Images, Logits, Session, Target

DEFAULT = "openvino"
MODULES = {
    "torch": "convnext_edge.targets.torch",
    "onnxruntime": "convnext_edge.targets.onnxruntime",
    "openvino": "convnext_edge.targets.openvino",
}
NAMES = tuple(MODULES)


def find_target(name: str) -> Target:
    """The target of that name; raises UsageError for an unknown one."""
    if name not in MODULES:
        raise UsageError(f"unknown target {name!r}", hint=f"Known targets: {', '.join(NAMES)}.")
    return cast(Target, import_module(MODULES[name]).TARGET)


__all__ = ["DEFAULT", "NAMES", "Availability", "Images", "Logits", "Session", "Target", "find_target"]
