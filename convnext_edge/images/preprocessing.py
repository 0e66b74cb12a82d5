"""The values by which an image becomes the input of a model, such as its resolution and mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from convnext_edge.errors import UsageError
from convnext_edge.reading import Line, Shape, Share, check

InputType = Literal["float32", "uint8"]  # normalized values, or the bytes of the pixels
Triple = tuple[float, float, float]
Part = Annotated[float, Field(gt=0, le=1)]
THREE = Field(min_length=3, max_length=3)  # channels
Fits = Callable[[float], bool]
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """How images are resized, cropped at the centre and normalized.

    They are the values that a checkpoint was evaluated with.
    """

    resolution: int = 224  # edge of the square input, in pixels
    # Fraction of the resized image's shorter edge that is kept. 1.0 squashes the whole image to the square,
    # as ConvNeXt is evaluated at 384 (without crop).
    crop: float = 0.875
    interpolation: str = "bicubic"  # name of a filter of Pillow
    mean: Triple = IMAGENET_MEAN  # of each RGB channel, of values in 0..1
    std: Triple = IMAGENET_STD  # likewise

    def to_json(self) -> dict[str, Any]:
        """Return the values as a JSON object, as a sidecar keeps them."""
        return {
            "resolution": self.resolution,
            "crop": self.crop,
            "interpolation": self.interpolation,
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Preprocessing:
        """Read what `to_json` returned; raise DamagedError for a missing key, a wrong type or range."""
        check(value, PreprocessingShape)
        return cls(
            resolution=value["resolution"],
            crop=float(value["crop"]),
            interpolation=value["interpolation"],
            mean=_triple(value["mean"]),
            std=_triple(value["std"]),
        )


class PreprocessingShape(Shape):
    """What `to_json` returns, by type and range."""

    resolution: Annotated[int, Field(ge=1, le=2**14)]
    crop: Part
    interpolation: Line
    mean: Annotated[list[Share], THREE]
    std: Annotated[list[Part], THREE]


@dataclass(frozen=True)
class PreprocessingChanges:
    """Values that a user gives in place of a checkpoint's; None keeps the checkpoint's value."""

    resolution: int | None = None
    crop: float | None = None
    interpolation: str | None = None
    mean: Triple | None = None
    std: Triple | None = None

    def apply(self, base: Preprocessing) -> Preprocessing:
        """Return `base` with these values; raise UsageError for a value that is out of range."""
        self._check("crop", (self.crop,), "above 0, at most 1", lambda value: 0 < value <= 1)
        self._check("mean", self.mean, "within 0 and 1, as pixels are", lambda value: 0 <= value <= 1)
        self._check("std", self.std, "above 0, at most 1: pixels lie in 0..1", lambda value: 0 < value <= 1)
        return replace(base, **{key: value for key, value in vars(self).items() if value is not None})

    @staticmethod
    def _check(name: str, values: Sequence[float | None] | None, wanted: str, fits: Fits) -> None:
        for value in values or ():
            if value is not None and not fits(value):
                raise UsageError(f"--{name} {value} is out of range", hint=f"Give values {wanted}.")


def _triple(values: Any) -> Triple:
    red, green, blue = (float(v) for v in values)
    return red, green, blue
