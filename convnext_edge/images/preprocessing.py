"""The values by which an image becomes the input of a model, such as its resolution and mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from convnext_edge.errors import UsageError
from convnext_edge.reading import Line, Shape, Share, check

InputType = Literal["float32", "uint8"]  # normalized values, or the bytes of the pixels
Channels = tuple[float, ...]  # a value for each channel of the image
Pixels = Annotated[int, Field(ge=1, le=2**14)]
Part = Annotated[float, Field(gt=0, le=1)]
MAX_CHANNELS = 16
CHANNELS = Field(min_length=1, max_length=MAX_CHANNELS)
Fits = Callable[[float], bool]
IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """How images are resized, cropped at the centre and normalized.

    They are the values that a checkpoint was evaluated with.
    """

    resolution: int = 224  # rows of the input, and columns where `width` does not say otherwise
    # Fraction of the resized image's shorter edge that is kept. 1.0 squashes the whole image to the square,
    # as ConvNeXt is evaluated at 384, unless `squash` says otherwise.
    crop: float = 0.875
    interpolation: str = "bicubic"  # name of a filter of Pillow
    mean: Channels = IMAGENET_MEAN  # of each channel, of values in 0..1
    std: Channels = IMAGENET_STD  # likewise
    width: int | None = None  # columns of an input that is not square
    squash: bool | None = None  # whether the whole image is squashed; None: where nothing is cropped

    @property
    def squashes(self) -> bool:
        """Whether the whole image is squashed to the input, whatever its sides."""
        return self.crop == 1.0 if self.squash is None else self.squash

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the input."""
        return self.resolution, self.width or self.resolution

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of the input."""
        return (len(self.mean), *self.size)

    @property
    def size_text(self) -> str:
        """The edge of a square input as `224`, or else rows and columns as `224x320`."""
        rows, columns = self.size
        return str(rows) if rows == columns else f"{rows}x{columns}"

    def to_json(self) -> dict[str, Any]:
        """Return the values as a JSON object, as a sidecar keeps them."""
        return {
            "resolution": self.resolution,
            "crop": self.crop,
            "interpolation": self.interpolation,
            "mean": list(self.mean),
            "std": list(self.std),
            **({} if self.width is None else {"width": self.width}),
            **({} if self.squash is None else {"squash": self.squash}),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Preprocessing:
        """Read what `to_json` returned; raise DamagedError for a missing key, a wrong type or range."""
        check(value, PreprocessingShape)
        return cls(
            resolution=value["resolution"],
            crop=float(value["crop"]),
            interpolation=value["interpolation"],
            mean=tuple(map(float, value["mean"])),
            std=tuple(map(float, value["std"])),
            width=value.get("width"),
            squash=value.get("squash"),
        )


class PreprocessingShape(Shape):
    """What `to_json` returns, by type and range."""

    resolution: Pixels
    crop: Part
    interpolation: Line
    mean: Annotated[list[Share], CHANNELS]
    std: Annotated[list[Part], CHANNELS]
    width: Pixels | None = None
    squash: bool | None = None

    @model_validator(mode="after")
    def _channels_fit(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError("mean and std must have as many values as each other")
        return self


@dataclass(frozen=True)
class PreprocessingChanges:
    """Values that a user gives in place of a checkpoint's; None keeps the checkpoint's value."""

    resolution: int | None = None
    crop: float | None = None
    interpolation: str | None = None
    mean: Channels | None = None
    std: Channels | None = None
    width: int | None = None

    def apply(self, base: Preprocessing, channels: int = 3) -> Preprocessing:
        """Return `base` with these values, for images of `channels`.

        Where the channels are not those of `base`, pixels are taken as they are, in 0..1, unless mean and std
        are given. Raises UsageError for a value that is out of range, or not one of each channel.
        """
        if len(base.mean) != channels:
            base = replace(base, mean=(0.0,) * channels, std=(1.0,) * channels)
        self._check("crop", (self.crop,), "above 0, at most 1", lambda value: 0 < value <= 1)
        self._check("mean", self.mean, "within 0 and 1, as pixels are", lambda value: 0 <= value <= 1)
        self._check("std", self.std, "above 0, at most 1: pixels lie in 0..1", lambda value: 0 < value <= 1)
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != channels:
                raise UsageError(
                    f"--{name} has {len(values)} values, and the model takes {channels} channels",
                    hint="Give one value for each channel.",
                )
        for edge in (self.resolution, self.width):
            if edge is not None and edge < 1:
                raise UsageError(f"--resolution {edge} is out of range", hint="Give pixels from 1.")
        base = base if self.resolution is None else replace(base, width=None)
        return replace(base, **{key: value for key, value in vars(self).items() if value is not None})

    @staticmethod
    def _check(name: str, values: Sequence[float | None] | None, wanted: str, fits: Fits) -> None:
        for value in values or ():
            if value is not None and not fits(value):
                raise UsageError(f"--{name} {value} is out of range", hint=f"Give values {wanted}.")
