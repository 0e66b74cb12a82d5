"""convnext-edge: ConvNeXt in INT8 on CPUs and edge devices.

    from convnext_edge import export, quantize, build, validate, benchmark

Each command of the command line is a function of the same name here; it returns the object that the
command prints with `--json`. Functions are imported on first use: PyTorch takes seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from convnext_edge.quiet import quiet as _quiet  # the name is the module's
from convnext_edge.version import __version__

if TYPE_CHECKING:
    from convnext_edge.commands.benchmark import benchmark
    from convnext_edge.commands.build import build
    from convnext_edge.commands.build_script import build_script
    from convnext_edge.commands.compare import compare
    from convnext_edge.commands.demo import demo
    from convnext_edge.commands.doctor import doctor
    from convnext_edge.commands.embed import embed
    from convnext_edge.commands.export import export
    from convnext_edge.commands.finetune import finetune
    from convnext_edge.commands.quantize import quantize
    from convnext_edge.commands.report import report
    from convnext_edge.commands.sensitivity import sensitivity
    from convnext_edge.commands.validate import validate
    from convnext_edge.commands.variants import variants

__all__ = [
    "__version__",
    "benchmark",
    "build",
    "build_script",
    "compare",
    "demo",
    "doctor",
    "embed",
    "export",
    "finetune",
    "quantize",
    "report",
    "sensitivity",
    "validate",
    "variants",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _quiet():  # torchao and others log while they are imported
        value = getattr(import_module(f"convnext_edge.commands.{name}"), name)
    globals()[name] = value
    return value
