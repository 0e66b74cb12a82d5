"""The `open_clip_config.json` of OpenCLIP. Source: `image_transform` (open_clip/transform.py)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from convnext_edge.checkpoints.preparation.transformers import CLIP_MEAN, CLIP_STD
from convnext_edge.images.preprocessing import CHANNELS, Level, Part, Pixels, Preprocessing, ResizeMode
from convnext_edge.reading import DamagedError, Shape, Share, check

OPEN_CLIP_CONFIG = "open_clip_config.json"
MODES: dict[str, ResizeMode] = {"shortest": "center", "longest": "pad", "squash": "squash"}
USUAL = 256  # pixels: most of its ConvNeXt towers
Size = Pixels | Annotated[list[Pixels], Field(min_length=2, max_length=2)]


class PreprocessShape(Shape):
    """What is read of `preprocess_cfg`; what is absent or null has OpenCLIP's default."""

    size: Size | None = None
    mean: Share | Annotated[list[Share], CHANNELS] | None = None
    std: Part | Annotated[list[Part], CHANNELS] | None = None
    interpolation: Literal["bicubic", "bilinear", "random"] | None = None
    resize_mode: Literal["shortest", "longest", "squash"] | None = None
    fill_color: Level | None = None


class VisionShape(Shape):
    """What is read of `vision_cfg`."""

    image_size: Size | None = None


class ModelShape(Shape):
    """What is read of `model_cfg`."""

    vision_cfg: VisionShape


class OpenClipShape(Shape):
    """What is read of an open_clip_config.json."""

    model_cfg: ModelShape
    preprocess_cfg: PreprocessShape = PreprocessShape()


def of_open_clip(config: dict[str, Any]) -> Preprocessing:
    """Return the preprocessing that OpenCLIP evaluates with; raise DamagedError where a config is none."""
    check(config, OpenClipShape)
    told: dict[str, Any] = config.get("preprocess_cfg") or {}
    size = config["model_cfg"]["vision_cfg"].get("image_size") or told.get("size")
    if size is None:
        raise DamagedError("it has neither model_cfg.vision_cfg.image_size nor preprocess_cfg.size")
    rows, columns = (size, size) if isinstance(size, int) else size
    mode = MODES[told.get("resize_mode") or "shortest"]
    # "random" is of training; and to an input that is not square, it resizes by the shorter edge in bicubic
    bilinear = told.get("interpolation") == "bilinear" and not (mode == "center" and rows != columns)
    mean, std = told.get("mean"), told.get("std")
    return Preprocessing(
        resolution=rows,
        width=None if rows == columns else columns,
        crop=1.0,
        interpolation="bilinear" if bilinear else "bicubic",
        mean=of_channels(CLIP_MEAN if mean is None else mean),
        std=of_channels(CLIP_STD if std is None else std),
        resize_mode=mode,
        pad_color=(told.get("fill_color") or 0,) * 3 if mode == "pad" else None,
    )


def usual() -> Preprocessing:
    """Return what OpenCLIP's published ConvNeXt towers of 256 pixels are evaluated with."""
    return Preprocessing(USUAL, 1.0, mean=CLIP_MEAN, std=CLIP_STD)


def of_channels(value: float | tuple[float, ...] | list[float]) -> tuple[float, ...]:
    """Return a value for each of three channels."""
    return (float(value),) * 3 if isinstance(value, int | float) else tuple(map(float, value))
