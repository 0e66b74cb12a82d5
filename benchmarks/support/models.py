"""The trained models of `calibration/models`, which fidelity is measured on beside the demo model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.reading import Line, Shape, Share, check, read_toml

FOLDER = Path(__file__).parents[2] / "calibration/models"
TABLE = FOLDER / "models.toml"


class ModelShape(Shape):
    """Shape of a model's part of the table."""

    what: Line
    data: Line
    license: Line  # of the data
    epochs: float
    top1: Share  # of the FP32 model as it is stored, on all test images
    resolution: int
    mean: list[float]
    std: list[float]
    images: Line  # the image set that it is measured with: "demo", or the option of the script that names it


@dataclass(frozen=True)
class Model:
    """A trained model and how its images are prepared."""

    name: str
    shape: ModelShape

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name}.safetensors"

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing(
            resolution=self.shape.resolution,
            crop=1.0,
            resize_mode="squash",
            mean=tuple(self.shape.mean),
            std=tuple(self.shape.std),
        )


def read_models() -> list[Model]:
    """All models of the table, in its order."""
    table: dict[str, Any] = read_toml(TABLE)
    models = []
    for name, part in table.items():
        check(part, ModelShape)
        models.append(Model(name, ModelShape(**part)))
    return models
