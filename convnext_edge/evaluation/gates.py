"""What a candidate must hold to pass, by the task of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from convnext_edge.architecture import Architecture
from convnext_edge.errors import UsageError
from convnext_edge.evaluation.closeness import Closeness
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.evaluation.trust import check_gates, concerns, decide_drop, in_wrong_order, undecided_drop
from convnext_edge.tasks import Task

# Of each task the gates that it can fail, as fields of `Gates`, and the figure that each is on.
DECIDED: dict[Task, dict[str, str]] = {
    "classify": {"max_drop": "drop_points", "min_agreement": "agreement", "min_sqnr": "sqnr_db"},
    "multilabel": {"max_drop": "drop_points", "min_agreement": "agreement", "min_sqnr": "sqnr_db"},
    "regress": {"min_r2": "r2", "min_sqnr": "sqnr_db"},
    "embed": {"max_drop": "drop_points", "min_cosine": "cosine_mean", "min_sqnr": "sqnr_db"},
    "features": {"min_sqnr": "sqnr_db"},
}
NEEDS_LABELS = ("max_drop",)


@dataclass(frozen=True)
class Gates:
    """Bounds that the user sets; None for no gate."""

    max_drop: float | None = None  # points of top-1, of mean average precision or of k-NN accuracy
    min_agreement: float | None = None  # fraction of the images, or of the decisions
    min_sqnr: float | None = None  # dB, of the worst output
    min_r2: float | None = None
    min_cosine: float | None = None  # mean over the images

    @property
    def given(self) -> list[str]:
        """The names of the gates that are set."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]

    def check(self, task: Task, architecture: Architecture, *, labelled: bool, images: str) -> None:
        """Raise UsageError for a gate that this task cannot fail, or that these images cannot decide."""
        for name in self.given:
            if name not in DECIDED[task]:
                known = ", ".join(option_of(each) for each in DECIDED[task])
                raise UsageError(f"{option_of(name)} means nothing to task {task}", hint=f"It has {known}.")
            if name in NEEDS_LABELS and not labelled:
                raise UsageError(
                    f"{option_of(name)} needs labels, and {images} has none",
                    hint="Use another gate, or other images.",
                )
        if task == "classify":
            check_gates(self.max_drop, self.min_agreement, architecture.classes)
        for name, floor in (("min_cosine", -1.0), ("min_agreement", 0.0)):
            value = getattr(self, name)
            if value is not None and value <= floor:
                raise UsageError(
                    f"{option_of(name)} {value:g} cannot fail", hint=f"Give more than {floor:g}."
                )

    def decide(self, task: Task, figures: Mapping[str, float | None]) -> dict[str, bool]:
        """Return whether each gate holds, by its short name, as `drop`.

        figures: by the names that DECIDED has. An SQNR of None is one without any difference; any other
        figure of None was not to be had, and does not pass.
        """
        held = {}
        for name in self.given:
            figure, bound = figures.get(DECIDED[task][name]), getattr(self, name)
            if figure is None:
                passed = name == "min_sqnr"
            else:
                passed = figure <= bound if name.startswith("max") else figure >= bound
            held[name.partition("_")[2]] = passed
        return held


def judge_classes(found: Comparison, gates: Gates, classes: int) -> dict[str, Any]:
    """Return whether a classifier holds the gates, and why not to rely on that, as fields of a result."""
    figures = {
        "drop_points": found.drop_points if found.labelled else None,
        "agreement": found.agreement,
        "sqnr_db": found.sqnr_db,
    }
    held, warnings = gates.decide("classify", figures), concerns(found, classes)
    if gates.max_drop is not None:
        held["drop"], unfit = decide_drop(found, gates.max_drop)
        warnings += unfit or undecided_drop(found.drop_ci95_points, gates.max_drop, found.labelled)
    passed = all(held.values()) and not (held and in_wrong_order(found))
    return {"warnings": warnings, "gates": tuple(held), "passed": passed}


def judge_others(found: Closeness, gates: Gates, task: Task) -> dict[str, Any]:
    """Return whether a model of another task holds the gates, as fields of a result."""
    figures = {**found.figures(), "sqnr_db": found.worst_sqnr_db}
    held = gates.decide(task, figures)
    lacking = [
        name for name in gates.given if figures.get(DECIDED[task][name]) is None and name != "min_sqnr"
    ]
    why = tuple(f"{option_of(name)} could not be decided: these images do not tell it" for name in lacking)
    return {"warnings": why, "gates": tuple(held), "passed": all(held.values())}


def option_of(gate: str) -> str:
    """Return the option that sets a gate, as `--max-drop` for `max_drop`."""
    return f"--{gate.replace('_', '-')}"
