"""Whether a model's INT8 layers run in INT8 kernels on a kind of machine, and what to do where they do not.

The same Q/DQ graph is products of INT8 in one runtime on one machine, and products of floats in another: a
plugin takes a graph only in the form that its kernels have. What a target says of its forms was read from the
kernel lists of the runtimes themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from convnext_edge.artifacts.artifact import FAKE_QUANTIZED, Artifact, Description
from convnext_edge.cpu import Machine, this_machine
from convnext_edge.progress import note
from convnext_edge.targets.base import Target
from convnext_edge.targets.registry import DEFAULT, find_target


@dataclass(frozen=True)
class Kernels:
    """What becomes of the INT8 layers of a model, in a runtime on a kind of machine."""

    machine: Machine | None  # None: another than those that we know
    int8: bool | None  # whether they are multiplied in INT8; None where it is not known
    advice: str | None = None  # what to do where they are there, and multiplied in float

    def precision(self, precision: str) -> str:
        """Return what an engine is called by: INT8 only where it multiplies INT8."""
        return FAKE_QUANTIZED if self.advice else precision


def kernels_of(described: Description, target: Target, machine: Machine | None = None) -> Kernels:
    """Return which kernels a model gets. machine: None for the model's own, the target's, or this one."""
    wanted = machine or described.machine or target.runs_on or this_machine()
    if not described.has_int8_layers:
        return Kernels(wanted, int8=False)
    made_for = find_target(described.target or DEFAULT)
    found = target.int8_kernels(described.form or made_for.form, wanted)
    return Kernels(wanted, found, advice_on(target, wanted) if found is False else None)


def advice_on(target: Target, machine: Machine | None) -> str:
    """Return what to do about a quantized model that is multiplied in float."""
    if not target.has_int8_kernels:
        return (
            f"{target.name} multiplies the INT8 layers of a model in float, on every machine: it is there to"
            f" compare with, --target {DEFAULT} to be fast"
        )
    return (
        f"{target.name} multiplies the INT8 layers of this model in float on {machine}, no faster than FP32:"
        f" quantize it again, with --target {target.name} --for {machine} or with --target onnxruntime"
    )


def warn_of_kernels(artifact: Artifact, target: Target) -> None:
    """Say so where a model with INT8 layers is about to run here, and is slower than another form of it."""
    described, here = artifact.description, this_machine()
    found = kernels_of(described, target, here)
    if found.advice and target.has_int8_kernels:
        note(found.advice)
    elif target.for_other_machines:  # which `build` says
        return
    elif target.differs_by_machine and here is not None and described.machine not in (None, here):
        note(
            f"{artifact.path.name} was made for {described.machine}, and this machine is {here}: its speed"
            f" here tells nothing about {described.machine}, and a model made for {here} may be faster here"
        )
