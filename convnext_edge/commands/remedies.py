"""What comes next: the command for an engine that is well, and what to do about gates that are not met."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from convnext_edge.commands.text import Sentence, command_line
from convnext_edge.targets.registry import ON_CPUS, find_target

# Of each gate of accuracy, by the name that results have, the option that sets it.
OPTIONS: dict[str, tuple[str, str]] = {
    "drop": ("--max-drop", "POINTS"),
    "agreement": ("--min-agreement", "FRACTION"),
    "sqnr": ("--min-sqnr", "DB"),
    "r2": ("--min-r2", "R2"),
    "cosine": ("--min-cosine", "COSINE"),
}


@dataclass(frozen=True)
class Remedy:
    """What helps, as a sentence, and the command for it; both are empty where nothing is known to help."""

    text: str = ""
    command: str = ""

    @property
    def rows(self) -> list[tuple[str, object]]:
        """The sentence as a row for `lines`; no row where it is empty."""
        return [("to do", Sentence(self.text))] if self.text else []


NOTHING = Remedy()


def after_engine(artifact: Path, target: str) -> str:
    """Return the command that puts an engine for CPUs into an application; empty for another artifact."""
    if target not in ON_CPUS or not artifact.name.endswith(find_target(target).suffix):
        return ""
    return command_line("embed", artifact, "--lang", "cpp")


def after_validate(gates: Collection[str], target: str) -> Remedy:
    """Return what helps where INT8 is too far from FP32. gates: those that were set, by their names."""
    options = [word for gate in gates if gate in OPTIONS for word in OPTIONS[gate]]
    return Remedy(
        "`quantize` with the same gate keeps the costliest layers in float until the gate is met;"
        " `finetune` trains the model to lose less in INT8",
        command_line("quantize", "MODEL", "--calib", "IMAGES", "--target", target, *options),
    )


def after_quantize(unmet: Collection[str], target: str, *, doubted: bool) -> Remedy:
    """Return what helps a model that was quantized.

    unmet: of each gate that is not met, its name and the reason in brackets. doubted: whether warnings say
    that the images cannot decide a gate of accuracy.
    """
    names = {reason.partition(" (")[0] for reason in unmet}
    if "calibration" in names:
        return Remedy(
            "calibrate with images like those of training, or with more of them (--samples);"
            " `sensitivity` shows which layers to leave in float (--keep-float)",
            command_line("sensitivity", "MODEL", "--calib", "IMAGES", "--target", target),
        )
    if names & OPTIONS.keys() and not doubted:
        return Remedy(
            "`finetune` trains the model to lose less in INT8; or set a gate that allows more",
            command_line("finetune", "MODEL", "--train", "IMAGES", "--target", target),
        )
    if "speed" in names:
        return Remedy(
            "build the FP32 model, which is faster here; or accept slower INT8 with --allow-slower",
            command_line("build", "MODEL", "--target", target),
        )
    return NOTHING


def after_benchmark(threads: int, *, doubted: bool) -> Remedy:
    """Return what helps where a model is too slow. doubted: whether the machine was too busy to tell."""
    if doubted:
        return Remedy("end other programs and time it again: on a busy machine, no gate on speed is met")
    return Remedy(
        "`compare` shows which runtime and which method are fastest here",
        command_line("compare", "--calib", "IMAGES", "--data", "IMAGES", "--threads", threads),
    )
