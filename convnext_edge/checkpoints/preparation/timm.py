"""The `pretrained_cfg` of timm, which a repository of the hub has in its config.json.

Source: `resolve_data_config` (timm/data/config.py) and `transforms_imagenet_eval`
(timm/data/transforms_factory.py).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from convnext_edge.images.preprocessing import (
    CHANNELS,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Part,
    Pixels,
    Preprocessing,
    ResizeMode,
)
from convnext_edge.images.transform import INTERPOLATIONS
from convnext_edge.reading import DamagedError, Line, Shape, Share, check

MODES: dict[str, ResizeMode] = {"center": "center", "squash": "squash", "border": "pad"}
InputSize = Annotated[list[Pixels], Field(min_length=3, max_length=3)]


class PretrainedShape(Shape):
    """What is read of `pretrained_cfg`; what is absent or null has timm's default."""

    input_size: InputSize | None = None
    crop_pct: Part | None = None
    crop_mode: Literal["center", "squash", "border"] | None = None
    interpolation: Line | None = None
    mean: Annotated[list[Share], CHANNELS] | None = None
    std: Annotated[list[Part], CHANNELS] | None = None
    test_input_size: InputSize | None = None
    test_crop_pct: Part | None = None


def of_pretrained(config: dict[str, Any]) -> Preprocessing:
    """Return the preprocessing that timm makes of a `pretrained_cfg`; raise DamagedError where it is none."""
    check(config, PretrainedShape)
    channels, rows, columns = config.get("input_size") or (3, 224, 224)
    mean = tuple(config.get("mean") or IMAGENET_MEAN)
    std = tuple(config.get("std") or IMAGENET_STD)
    if not len(mean) == len(std) == channels:
        raise DamagedError(f"mean and std are not of the {channels} channels of input_size")
    interpolation = config.get("interpolation") or "bicubic"
    if interpolation not in INTERPOLATIONS:
        raise DamagedError(f"interpolation {interpolation!r} is none of {', '.join(INTERPOLATIONS)}")
    mode = MODES[config.get("crop_mode") or "center"]
    return Preprocessing(
        resolution=rows,
        width=None if rows == columns else columns,
        crop=float(config.get("crop_pct") or 0.875),
        interpolation=interpolation,
        mean=tuple(map(float, mean)),
        std=tuple(map(float, std)),
        resize_mode=mode,
        pad_color=tuple(round(255 * value) for value in mean) if mode == "pad" else None,
    )


def tested_at(config: dict[str, Any]) -> str:
    """Return the options for the size that timm tests the model at, where that is another one; else empty."""
    size, crop = config.get("test_input_size"), config.get("test_crop_pct")
    if size is None or size == config.get("input_size"):
        return ""
    return f"--resolution {size[1] if size[1] == size[2] else f'{size[1]}x{size[2]}'}" + (
        f" --crop {crop:g}" if crop else ""
    )
