"""The values by which an image becomes the input of a model, such as its resolution and mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from convnext_edge.reading import Line, Shape, Share, check

InputType = Literal["float32", "uint8"]  # normalized values, or the bytes of the pixels
Interpolation = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]  # Pillow's names
ResizeMode = Literal["center", "squash", "pad", "corner"]
CropRounding = Literal["half_even", "floor"]
Resampler = Literal["pillow", "pytorch"]
TENSOR_FILTERS = ("bilinear", "bicubic")  # of the interpolations, those that "pytorch" computes
ChannelOrder = Literal["rgb", "bgr"]
LabelZero = Literal["class", "none"]
Channels = tuple[float, ...]  # a value for each channel of the image
MOST_PIXELS = 2**14  # of an edge
Pixels = Annotated[int, Field(ge=1, le=MOST_PIXELS)]
Part = Annotated[float, Field(gt=0, le=1)]
Level = Annotated[int, Field(ge=0, le=255)]
MAX_CHANNELS = 16
MOST_RESIZED = 2**31
CHANNELS = Field(min_length=1, max_length=MAX_CHANNELS)
IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """How images are resized, cut to the input's size at the centre, and normalized.

    They are the values that a checkpoint was evaluated with, whichever library has them: an image is resized,
    filled up with `pad_color` where it is then smaller than the input, and cropped where it is larger.
    """

    resolution: int = 224  # rows of the input, and columns where `width` does not say otherwise
    crop: float = 0.875  # fraction of the resized image's edge that is kept
    interpolation: str = "bicubic"  # name of a filter of Pillow
    mean: Channels = IMAGENET_MEAN  # of each channel, of values in 0..1
    std: Channels = IMAGENET_STD  # likewise
    width: int | None = None  # columns of an input that is not square
    # What is resized to `resized`: the shorter edge, each edge, or the longer edge; "corner" is as "pad",
    # with the image in the upper left corner, as detectors have it.
    resize_mode: ResizeMode = "center"
    resize: int | None = None  # edge before the crop in pixels, where it is no fraction of the resolution
    crop_rounding: CropRounding = "half_even"  # of a margin of half a pixel: torchvision's, or transformers'
    resampler: Resampler = "pillow"  # who computes the filter: what PyTorch makes of 8-bit tensors differs
    pad_color: tuple[int, ...] | None = None  # of each channel in 0..255; black where it is None
    exif: bool = False  # whether a photograph is turned upright, as its EXIF orientation says
    # Of the images that the model was trained with. The stem of a "bgr" one was turned when it was loaded, so
    # that images, mean and std are RGB here.
    channel_order: ChannelOrder = "rgb"
    # What 0 stands for in label maps: the first class, or none, as in ADE20K, where 1 is the first.
    label_zero: LabelZero = "class"

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the input."""
        return self.resolution, self.width or self.resolution

    @property
    def resized(self) -> tuple[int, int]:
        """Rows and columns that an image is resized for, before the crop."""
        if self.resize is not None:
            return self.resize, self.resize
        # timm's scale_size, as far as it is the edge of any image
        rows, columns = (math.floor(min(edge / self.crop, MOST_RESIZED)) for edge in self.size)
        return rows, columns

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of the input."""
        return (len(self.mean), *self.size)

    @property
    def size_text(self) -> str:
        """The edge of a square input as `224`, or else rows and columns as `224x320`."""
        rows, columns = self.size
        return str(rows) if rows == columns else f"{rows}x{columns}"

    @property
    def padding(self) -> tuple[int, ...]:
        """The colour of what is added to an image, of each channel in 0..255."""
        return self.pad_color or (0,) * len(self.mean)

    def to_json(self) -> dict[str, Any]:
        """Return the values as a JSON object, as a sidecar keeps them."""
        apart = {
            "width": self.width,
            "resize": self.resize,
            "pad_color": None if self.pad_color is None else list(self.pad_color),
            "label_zero": None if self.label_zero == "class" else self.label_zero,
        }
        return {
            "resolution": self.resolution,
            "crop": self.crop,
            "interpolation": self.interpolation,
            "mean": list(self.mean),
            "std": list(self.std),
            "resize_mode": self.resize_mode,
            "crop_rounding": self.crop_rounding,
            "resampler": self.resampler,
            "exif": self.exif,
            "channel_order": self.channel_order,
            **{key: value for key, value in apart.items() if value is not None},
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Preprocessing:
        """Read what `to_json` returned; raise DamagedError for a missing key, a wrong type or range."""
        check(value, PreprocessingShape)
        mode, crop = (
            of_format_1(value) if "resize_mode" not in value else (value["resize_mode"], value["crop"])
        )
        color = value.get("pad_color")
        return cls(
            resolution=value["resolution"],
            crop=float(crop),
            interpolation=value["interpolation"],
            mean=tuple(map(float, value["mean"])),
            std=tuple(map(float, value["std"])),
            width=value.get("width"),
            resize_mode=mode,
            resize=value.get("resize"),
            crop_rounding=value.get("crop_rounding", "half_even"),
            pad_color=None if color is None else tuple(color),
            resampler=value.get("resampler", "pillow"),
            exif=value.get("exif", False),
            channel_order=value.get("channel_order", "rgb"),
            label_zero=value.get("label_zero", "class"),
        )


def of_format_1(value: dict[str, Any]) -> tuple[ResizeMode, float]:
    """Return resize mode and crop of an early sidecar: a crop of 1 squashed where `squash` was not said."""
    told = value.get("squash")
    squashes = value["crop"] == 1 if told is None else told
    return ("squash", 1.0) if squashes else ("center", value["crop"])


class PreprocessingShape(Shape):
    """What `to_json` returns, by type and range."""

    resolution: Pixels
    crop: Part
    interpolation: Line
    mean: Annotated[list[Share], CHANNELS]
    std: Annotated[list[Part], CHANNELS]
    width: Pixels | None = None
    squash: bool | None = None  # of early sidecars
    resize_mode: ResizeMode = "center"
    resize: Pixels | None = None
    crop_rounding: CropRounding = "half_even"
    resampler: Resampler = "pillow"
    pad_color: Annotated[list[Level], CHANNELS] | None = None
    exif: bool = False
    channel_order: ChannelOrder = "rgb"
    label_zero: LabelZero = "class"

    @model_validator(mode="after")
    def _channels_fit(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError("mean and std must have as many values as each other")
        if self.pad_color is not None and len(self.pad_color) != len(self.mean):
            raise ValueError("pad_color must have as many values as mean")
        return self

    @model_validator(mode="after")
    def _resampler_fits(self) -> Self:
        if self.resampler == "pytorch" and self.interpolation not in TENSOR_FILTERS:
            raise ValueError(f"resampler pytorch has {' and '.join(TENSOR_FILTERS)}")
        return self

    @model_validator(mode="after")
    def _edges_fit(self) -> Self:
        if self.resize is not None and (self.width is not None or self.resize < self.resolution):
            raise ValueError("resize must be at least the resolution of a square input")
        return self
