"""What the outputs of a head are called and mean, as a config of its library or a user's file says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convnext_edge.errors import UsageError
from convnext_edge.images.class_order import read_rows
from convnext_edge.progress import note
from convnext_edge.reading import MAX_BYTES, DamagedError, Shape, check, parse_json, read_bytes
from convnext_edge.tasks import Task

CONFIG = "config.json"
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


def names_of_config(folder: Path, classes: int) -> ClassNames:
    """Return the names of the classes that the config in a folder tells.

    classes: outputs of the head. Names that are not exactly one for each output are not taken, and a note
    says so.
    """
    try:
        config = parse_json(read_bytes(folder / CONFIG, MAX_BYTES))
        check(config, NamesShape)
        names = _listed(config)
    except (OSError, DamagedError) as error:
        note(f"class names of {folder / CONFIG} are not taken: {error}")
        return NAMELESS
    if not names or all(UNNAMED.fullmatch(name) for name in names):
        return NAMELESS
    if why := fault(names, classes):
        note(f"class names of {folder / CONFIG} are not taken: {why}")
        return NAMELESS
    return ClassNames(tuple(names), CONFIG)


def task_of_config(folder: Path, inferred: Task) -> Task:
    """Return what the outputs of a head mean as a config of transformers says, else the inferred task."""
    try:
        config = parse_json(read_bytes(folder / CONFIG, MAX_BYTES))
        check(config, ProblemShape)
    except (OSError, DamagedError):
        return inferred
    told = TASKS_OF_TRANSFORMERS.get(config.get("problem_type"))
    if told is None or told == inferred:
        return inferred
    note(f"{CONFIG} says {config['problem_type']}: the task is {told}")
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
