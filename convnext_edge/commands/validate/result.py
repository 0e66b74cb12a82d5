"""What `validate` found, and how it reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from convnext_edge.commands.remedies import NOTHING, Remedy, after_validate
from convnext_edge.commands.result import Result
from convnext_edge.commands.text import (
    command_line,
    device_line,
    lines,
    metric_lines,
    ran_by,
    skipped,
    verdict,
    warned,
)
from convnext_edge.commands.validate.figures import beyond_lines, corruption_lines, corruption_table
from convnext_edge.devices.description import DeviceDescription

if TYPE_CHECKING:
    from convnext_edge.evaluation.answers import BeyondTop1
    from convnext_edge.evaluation.corrupted import Corrupted


@dataclass(frozen=True)
class Validate(Result):
    """How far a candidate is from the FP32 reference on an image set."""

    artifact: Path
    target: str
    data: str  # name of the image set
    images: int
    reference_top1: float | None  # fractions of the images; None where the images have no labels
    candidate_top1: float | None
    reference_top5: float | None
    candidate_top5: float | None
    drop_points: float | None  # percentage points of top-1, positive where the candidate is worse
    drop_ci95_points: tuple[float, float] | None  # paired 95 % interval
    agreement: float | None  # fraction of the images with the same top-1; None for other tasks
    agreement_ci95: tuple[float, float] | None
    sqnr_db: float | None  # of the worst output; None where all are identical
    overlap: int  # images that were in the calibration set too
    skipped_images: tuple[str, ...]
    simulated: bool  # not run by the runtime that the target stands for
    passed: bool
    label: str = ""  # where it was simulated, why
    # What numbered class folders: "natural" or "text" order, or the "names" of the model or of a file.
    class_order: str | None = None
    reference_top1_other_order: float | None = None  # with the other of the two orders, where they differ
    warnings: tuple[str, ...] = ()  # why not to rely on the accuracy, as sentences
    gates: tuple[str, ...] = ()  # what the gates are on that decided `passed`
    task: str = "classify"
    metrics: dict[str, float | None] = field(default_factory=dict)  # of other tasks, by name
    precision: str = "fp32"  # of the candidate, as "int8"
    device: DeviceDescription | None = None  # that the candidate ran on; None: this machine
    reference_known: int = 0  # images whose FP32 answer was kept by an earlier validation, and not computed
    classes: int | None = None  # of a classifier; with 5 or fewer, top-5 tells nothing, and is not shown
    beyond_top1: BeyondTop1 | None = None  # of a classifier of two classes or more
    corruptions: Corrupted | None = None  # where they were asked for
    sliding_window: bool = False  # of segment: figures are of whole pictures, over which windows have slid
    data_path: str = ""  # where the images are: sets may share a name; empty for a named set

    def summary(self) -> str:
        """Return the figures as lines."""
        seen = f", {self.overlap} of them calibrated with" if self.overlap else ""
        known = [("reference", f"answers of {self.reference_known} images kept before")]
        return lines(
            *ran_by(self.artifact, self.target + (f" ({self.label})" if self.label else "")),
            *device_line(self.device),
            ("images", f"{self.images} of {self.data}" + skipped(self.skipped_images) + seen),
            *(known if self.reference_known else []),
            *(self._accuracy() if self.task == "classify" else metric_lines(self.metrics)),
            ("SQNR", "identical outputs" if self.sqnr_db is None else f"{self.sqnr_db:.1f} dB"),
            *beyond_lines(self.beyond_top1),
            *corruption_lines(self.corruptions),
            *warned(self.warnings),
            ("gates", verdict(self.gates, self.passed)),
            *self._remedy.rows,
        ) + ("" if self.corruptions is None else f"\n\n{corruption_table(self.corruptions)}")

    def next_command(self) -> str:
        """Return what times what was compared, or else what makes a model that passes."""
        if not self.passed:
            return self._remedy.command
        there = ["--on", self.device.url] if self.device else []
        return "" if self.simulated else command_line("benchmark", self.artifact, *there)

    @property
    def _remedy(self) -> Remedy:
        """What helps where a gate is not met because of INT8; of other reasons, a warning says what to do."""
        of_int8 = not self.passed and not self.warnings and self.precision not in ("fp32", "fp16")
        return after_validate(self.gates, self.target) if of_int8 else NOTHING

    def _accuracy(self) -> list[tuple[str, object]]:
        assert self.agreement_ci95 is not None  # of every classifier
        agreed = "{:.2%} to {:.2%}".format(*self.agreement_ci95)
        agreement = ("agreement", f"{self.agreement:.2%} same top-1 (95 %: {agreed})")
        if self.drop_points is None or self.drop_ci95_points is None:
            return [("top-1", "unknown: the images have no labels"), agreement]
        low, high = self.drop_ci95_points
        top5 = ("top-5", f"{self.candidate_top5:.2%} (reference {self.reference_top5:.2%})")
        return [
            ("top-1", f"{self.candidate_top1:.2%} (reference {self.reference_top1:.2%})"),
            *([] if self.classes and self.classes <= 5 else [top5]),
            ("drop", f"{self.drop_points:+.2f} points (95 %: {low:+.2f} to {high:+.2f})"),
            agreement,
        ]
