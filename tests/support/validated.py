"""Validations that several tests look at."""

from __future__ import annotations

from support.models import Models

from convnext_edge import validate
from convnext_edge.commands.validate.result import Validate


def int8(models: Models, **options: object) -> Validate:
    """Of the INT8 file for OpenVINO."""
    given = {"data": str(models.photos), "target": "onnxruntime", "workspace": models.workspace, **options}
    return validate(models.quantized(), **given)  # type: ignore[arg-type]
