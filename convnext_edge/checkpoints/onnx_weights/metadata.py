"""What our own ONNX files say of themselves, where their sidecar is not beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import ModelProto

from convnext_edge.errors import CheckpointError
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.onnx_graph.files import read_metadata
from convnext_edge.reading import DamagedError, Line, Shape, check, parse_json
from convnext_edge.tasks import TASKS, Task

SECTION = "convnext_edge"  # as `artifacts.metadata` writes it


class LabelsShape(Shape):
    """The labels, as a list."""

    labels: list[Line]


@dataclass(frozen=True)
class OwnMetadata:
    """What a file of ours says; all of it is empty in the files of others."""

    preprocessing: Preprocessing | None = None
    task: Task | None = None
    labels: tuple[str, ...] = ()


def own_metadata(model: ModelProto, path: Path) -> OwnMetadata:
    """Return what a file of ours says of itself; raise CheckpointError where that is damaged."""
    found = {key: value for (section, key), value in read_metadata(model).items() if section == SECTION}
    try:
        labels: Any = {"labels": parse_json(found.get("labels", "[]"))}
        check(labels, LabelsShape)
        told = found.get("preprocessing")
        preprocessing = None if told is None else Preprocessing.from_json(_object(parse_json(told)))
    except DamagedError as error:
        raise CheckpointError(
            f"the metadata of {path} is damaged: {error}", hint="Export it again."
        ) from error
    task = next((task for task in TASKS if task == found.get("task")), None)
    return OwnMetadata(preprocessing, task, tuple(labels["labels"]))


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DamagedError("its preprocessing is no object")
    return value
