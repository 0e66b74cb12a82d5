"""Whether a model's INT8 layers run in INT8 kernels on a kind of machine, and what to do where they do not.

The same Q/DQ graph is products of INT8 in one runtime on one machine, and products of floats in another: a
plugin takes a graph only in the form that its kernels have. What a target says of its forms was read from the
kernel lists of the runtimes themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from convnext_edge.artifacts.artifact import Description
from convnext_edge.cpu import Machine, this_machine
from convnext_edge.targets.base import Target
from convnext_edge.targets.registry import DEFAULT, find_target

# What the field calls a graph whose values are rounded to codes, and multiplied in float.
FAKE = "fake-quantized"


@dataclass(frozen=True)
class Kernels:
    """What becomes of the INT8 layers of a model, in a runtime on a kind of machine."""

    target: str
    machine: Machine | None  # None: another than those that we know
    int8: bool | None  # whether they are multiplied in INT8; None where it is not known
    fake: bool  # whether the model is quantized and multiplied in float all the same
    advice: str | None  # what to do then

    def precision(self, precision: str) -> str:
        """Return what an engine is called by: INT8 only where it multiplies INT8."""
        return FAKE if self.fake else precision


def kernels_of(described: Description, target: Target, machine: Machine | None = None) -> Kernels:
    """Return which kernels a model gets. machine: None for the model's own, or else this one."""
    wanted = machine or described.machine or this_machine()
    if not described.multiplies_int8:
        return Kernels(target.name, wanted, int8=False, fake=False, advice=None)
    made_for = find_target(described.target or DEFAULT)
    found = target.int8_kernels(described.form or made_for.form, wanted)
    fake = found is False and target.has_int8_kernels
    return Kernels(target.name, wanted, found, fake, advice_on(target, wanted) if fake else None)


def advice_on(target: Target, machine: Machine | None) -> str:
    """Return what to do about a quantized model that is multiplied in float."""
    return (
        f"{target.name} multiplies the INT8 layers of this model in float on {machine}, no faster than FP32:"
        f" quantize it again with --target {target.name} --for {machine}, or --target onnxruntime"
    )
