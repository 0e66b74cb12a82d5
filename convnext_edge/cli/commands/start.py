"""The commands to start with: variants, doctor, demo."""

from __future__ import annotations

from typing import Any

import convnext_edge
from convnext_edge.cli import options as common
from convnext_edge.cli.frame import command
from convnext_edge.results import Result


@command("convnext-edge variants")
def variants() -> Result:
    """List the named models: size, published accuracy, license."""
    return convnext_edge.variants()


@command("convnext-edge doctor")
def doctor() -> Result:
    """Tell what this machine can build and run."""
    return convnext_edge.doctor()


@command("convnext-edge demo")
@common.workspace
def demo(**options: Any) -> Result:
    """Run the whole way offline, on a small model of the package."""
    return convnext_edge.demo(**options)
