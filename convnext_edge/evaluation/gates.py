"""What a candidate must hold to pass, by the task of the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from convnext_edge.architecture import Architecture
from convnext_edge.errors import UsageError
from convnext_edge.evaluation.closeness import Closeness
from convnext_edge.evaluation.metrics import FLOOR_DB, Comparison
from convnext_edge.evaluation.trust import concerns, in_any_order, in_wrong_order, undecided_drop, unfit_drop
from convnext_edge.tasks import Task

Figures = Mapping[str, float | None]

# Of each task the gates that it can fail, as fields of `Gates`, and the figure that each is on.
DECIDED: dict[Task, dict[str, str]] = {
    "classify": {"max_drop": "drop_points", "min_agreement": "agreement", "min_sqnr": "sqnr_db"},
    "multilabel": {"max_drop": "drop_points", "min_agreement": "agreement", "min_sqnr": "sqnr_db"},
    "regress": {"min_r2": "r2", "min_sqnr": "sqnr_db"},
    "embed": {"max_drop": "drop_points", "min_cosine": "cosine_mean", "min_sqnr": "sqnr_db"},
    "features": {"min_sqnr": "sqnr_db"},
    "segment": {"max_drop": "drop_points", "min_agreement": "agreement", "min_sqnr": "sqnr_db"},
    "detect": {"max_drop": "drop_points", "min_agreement": "agreement", "min_sqnr": "sqnr_db"},
}
# What a gate of points is on in the reference, as a fraction: no more than that can be lost.
AT_STAKE: dict[Task, str] = {
    "multilabel": "map_reference",
    "embed": "knn_reference",
    "segment": "miou_reference",
    "detect": "box_ap_reference",
}
# The value of each gate that nothing can fail.
LOOSEST: dict[str, float] = {
    "max_drop": 100.0,
    "min_agreement": 0.0,
    "min_sqnr": FLOOR_DB,
    "min_r2": -math.inf,
    "min_cosine": -1.0,
}
UNTOLD = "these images do not tell it"
NEEDS_LABELS = ("max_drop",)
OF_CLASSES = ("max_drop", "min_agreement")  # gates that a classifier of one output cannot fail
# How a figure and its bound read where the gate is not met.
FAULTS: dict[str, str] = {
    "max_drop": "{:.2f} points lost, {:g} allowed",
    "min_agreement": "agreement {:.4f}, {:g} wanted",
    "min_sqnr": "{:.1f} dB of SQNR, {:g} wanted",
    "min_r2": "R2 {:.5f}, {:g} wanted",
    "min_cosine": "cosine {:.5f}, {:g} wanted",
}


@dataclass(frozen=True)
class Gates:
    """Bounds that the user sets; None for no gate."""

    max_drop: float | None = None  # points of top-1, of mean average precision, k-NN accuracy or mIoU
    min_agreement: float | None = None  # fraction of the images, of the decisions or of the pixels
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
            option, value = option_of(name), getattr(self, name)
            if name not in DECIDED[task]:
                known = ", ".join(option_of(each) for each in DECIDED[task])
                raise UsageError(f"{option} means nothing to task {task}", hint=f"It has {known}.")
            check_bound(name, value)
            if task in ("classify", "segment") and architecture.classes == 1 and name in OF_CLASSES:
                raise UsageError(
                    f"{option} cannot fail: the model has one output, which is always the largest",
                    hint="Leave the gate out, and look at the SQNR.",
                )
            if name in NEEDS_LABELS and not labelled:
                raise UsageError(
                    f"{option} needs labels, and {images} has none",
                    hint="Use another gate, or other images.",
                )

    def decide(self, task: Task, figures: Figures) -> dict[str, str]:
        """Return of each gate, by its short name as `drop`, why it is not met; empty where it is.

        figures: by the names that DECIDED has. An SQNR of None is one without any difference; any other
        figure of None was not to be had, and does not pass.
        """
        return {short(name): self.fault(name, figures.get(DECIDED[task][name])) for name in self.given}

    def fault(self, name: str, figure: float | None) -> str:
        """Return why one gate is not met by a figure; empty where it is."""
        bound = getattr(self, name)
        if figure is None:
            return "" if name == "min_sqnr" else UNTOLD
        held = figure <= bound if name.startswith("max") else figure >= bound
        return "" if held else FAULTS[name].format(figure, bound)


def check_bound(name: str, value: float) -> None:
    """Raise UsageError for the value of a gate that no model of any task can fail, and for NaN."""
    loosest, most = LOOSEST[name], name.startswith("max")
    if not (value < loosest if most else value > loosest):
        raise UsageError(
            f"{option_of(name)} {value:g} cannot fail",
            hint=f"Give {'less' if most else 'more'} than {loosest:g}.",
        )


@dataclass(frozen=True)
class Judgement:
    """How a candidate did at the gates that were set."""

    figures: dict[str, float | None]  # what each gate is on, by the names of DECIDED
    faults: dict[str, str]  # of each gate by its short name, why it is not met; empty where it is
    doubts: tuple[str, ...] = ()  # why the gates decide nothing, whatever the candidate does, as sentences
    warnings: tuple[str, ...] = ()  # why not to rely on it, as sentences; the doubts are among them

    @property
    def passed(self) -> bool:
        """Whether all gates are met."""
        return not any(self.faults.values())

    def fields(self) -> dict[str, Any]:
        """Return the fields of a result."""
        return {"warnings": self.warnings, "gates": tuple(self.faults), "passed": self.passed}


def judge(found: Comparison | Closeness, gates: Gates, task: Task, classes: int) -> Judgement:
    """Return how a candidate did. classes: that a classifier tells apart."""
    if isinstance(found, Comparison):
        return judge_classes(found, gates, classes)
    return judge_others(found, gates, task)


def judge_classes(found: Comparison, gates: Gates, classes: int) -> Judgement:
    """Return how a classifier did.

    Without labels, the share of the images whose top-1 changed stands for the drop: no more can be lost.
    """
    changed = 100 * (1 - found.agreement)
    figures = {
        "drop_points": found.drop_points if found.labelled else changed,
        "agreement": found.agreement,
        "sqnr_db": found.sqnr_db,
    }
    of_labels = concerns(found, classes)
    doubts = of_labels if gates.given and (in_wrong_order(found) or in_any_order(found)) else ()
    faults = gates.decide("classify", figures)
    undecided: tuple[str, ...] = ()
    if doubts:
        faults = {gate: fault or "the classes are in another order" for gate, fault in faults.items()}
    if gates.max_drop is not None:
        unfit = unfit_drop(found.top1[0] / found.labelled, gates.max_drop) if found.labelled else ()
        faults |= {"drop": unfit[0]} if unfit else {}
        doubts += unfit
        undecided = (
            () if unfit else undecided_drop(interval(found), gates.max_drop, found.labelled or found.images)
        )
    return Judgement(
        measured(figures, gates, "classify"),
        faults,
        doubts,
        tuple(dict.fromkeys((*of_labels, *doubts, *undecided))),
    )


def interval(found: Comparison) -> tuple[float, float]:
    """Return the 95 % interval of the drop in points; without labels, of the top-1 that changed."""
    low, high = (100 * (1 - bound) for bound in reversed(found.agreement_ci95))
    return found.drop_ci95_points if found.labelled else (low, high)


def judge_others(found: Closeness, gates: Gates, task: Task) -> Judgement:
    """Return how a model of another task did."""
    figures = {**found.figures(), "sqnr_db": found.worst_sqnr_db}
    faults = gates.decide(task, figures)
    if found.silent:
        faults = {gate: fault or UNTOLD for gate, fault in faults.items()}
    doubts = tuple(
        f"{option_of(name)} could not be decided: these images do not tell it"
        for name in gates.given
        if name != "min_sqnr" and figures.get(DECIDED[task][name]) is None
    )
    reference = figures.get(AT_STAKE.get(task, ""))
    if gates.max_drop is not None and reference is not None:
        unfit = unfit_drop(reference, gates.max_drop)
        wrong = found.other_numbers or unfit
        faults |= {"drop": wrong[0]} if wrong else {}
        doubts += wrong
    return Judgement(
        measured(figures, gates, task), faults, doubts, tuple(dict.fromkeys((*doubts, *found.concerns)))
    )


def measured(figures: Figures, gates: Gates, task: Task) -> dict[str, float | None]:
    """Return the figures that gates are on."""
    return {DECIDED[task][name]: figures.get(DECIDED[task][name]) for name in gates.given}


def option_of(gate: str) -> str:
    """Return the option that sets a gate, as `--max-drop` for `max_drop`."""
    return f"--{gate.replace('_', '-')}"


def short(gate: str) -> str:
    """Return what a result calls a gate, as `drop` for `max_drop`."""
    return gate.partition("_")[2]
