"""What the outputs of a head are called and mean, as a config of its library or a user's file says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convnext_edge.checkpoints.config import Config
from convnext_edge.errors import UsageError
from convnext_edge.images.class_order import read_rows
from convnext_edge.progress import note
from convnext_edge.reading import DamagedError, Shape, check
from convnext_edge.tasks import Task

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
UNNAMED = re.compile(r"LABEL_\d+")  # what transformers writes where nobody named the classes
TASKS_OF_TRANSFORMERS: dict[str | None, Task] = {
    "regression": "regress",
    "multi_label_classification": "multilabel",
}
LONGEST = 1000  # characters of a name


class LabelsShape(Shape):
    """What is read of the `pretrained_cfg` of timm."""

    label_names: list[str] | dict[str, str] | None = None
    label_offset: int | None = None


class NamesShape(LabelsShape):
    """What is read of a config of transformers (`id2label`) or timm (`label_names`)."""

    id2label: dict[str, str] | None = None
    label2id: dict[str, Any] | None = None
    pretrained_cfg: LabelsShape | None = None


class ProblemShape(Shape):
    """What is read of a config of transformers to know what logits mean."""

    problem_type: str | None = None


@dataclass(frozen=True)
class ClassNames:
    """Names in the order of the labels, and where they are from."""

    names: tuple[str, ...] = ()  # empty where they are not known
    source: str | None = None  # such as "config.json"


NAMELESS = ClassNames()


def names_of_config(config: Config, classes: int) -> ClassNames:
    """Return the names of the classes that a config tells.

    classes: outputs of the head. Names that are not exactly one for each output are not taken, and a note
    says so.
    """
    try:
        check(config.values, NamesShape)
        names = _listed(config.values)
    except DamagedError as error:
        note(f"class names of {config.place} are not taken: {error}")
        return NAMELESS
    if not names or all(UNNAMED.fullmatch(name) for name in names):
        return NAMELESS
    if why := fault(names, classes):
        note(f"class names of {config.place} are not taken: {why}")
        return NAMELESS
    return ClassNames(tuple(names), config.place.name)


def task_of_config(config: Config, inferred: Task) -> Task:
    """Return what the outputs of a head mean as a config of transformers says, else the inferred task."""
    if inferred in ("segment", "detect"):
        return inferred
    config.check(ProblemShape)
    problem = config.values.get("problem_type")
    told = TASKS_OF_TRANSFORMERS.get(problem)
    if told is None or told == inferred:
        return inferred
    note(f"{config.place.name} says {problem}: the task is {told}")
    return told


def names_of_file(path: Path, classes: int) -> ClassNames:
    """Return the names in a user's file; raise UsageError where they are not one for each class."""
    names = [row[0] for row in read_rows(path, "--classes")]
    if why := fault(names, classes):
        raise UsageError(
            f"--classes {path}: {why}", hint="Give the names of all classes, in the order of the logits."
        )
    return ClassNames(tuple(names), path.name)


def fault(names: Sequence[str], classes: int) -> str:
    """Return why names cannot be those of so many classes; nothing where they can."""
    if len(names) != classes:
        return f"it names {len(names)} classes, the model has {classes}"
    for number, name in enumerate(names):
        if not name.strip() or len(name) > LONGEST or CONTROL.search(name):
            return f"the name of class {number} is no line of text"
    return ""


def _listed(config: dict[str, Any]) -> list[str]:
    """Return the names in a config, by label; raise DamagedError where labels are not 0, 1, 2 and so on."""
    of_timm = {**(config.get("pretrained_cfg") or {}), **config}
    if of_timm.get("label_offset"):
        raise DamagedError(f"its label_offset is {of_timm['label_offset']}")
    key = "id2label" if config.get("id2label") else "label_names"
    names = of_timm.get(key) or []
    if isinstance(names, list):
        return names
    numbers = [str(number) for number in range(len(names))]
    if set(numbers) != set(names):
        raise DamagedError(f"the ids in {key} are not 0, 1, 2 and so on, each once")
    listed = [names[number] for number in numbers]
    numbered = config.get("label2id") or {}
    if set(numbered) == set(listed) and any(names.get(str(n)) != name for name, n in numbered.items()):
        raise DamagedError(f"{key} and label2id contradict each other")
    return listed
