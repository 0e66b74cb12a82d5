"""The `preprocessor_config.json` of transformers' image processors.

Source: transformers/models/{convnext,bit,clip,vit,dinov3_vit}/image_processing_*.py and
image_processing_backends.py. Their pipelines read images with `load_image`, which applies the EXIF
orientation. The classes whose names end with Fast, and all since transformers 5, resize 8-bit tensors; those
before resize with Pillow. DINOv3's resizes floats, which Pillow's bytes are nearest to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import Field

from convnext_edge.images.preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    TENSOR_FILTERS,
    Channels,
    Interpolation,
    Part,
    Pixels,
    Preprocessing,
)
from convnext_edge.reading import DamagedError, Line, Shape, check

PREPROCESSOR = "preprocessor_config.json"
WARPED = 384  # pixels from which ConvNextImageProcessor squashes
RESAMPLINGS = get_args(Interpolation)  # in the order of Pillow's numbers
HALF: Channels = (0.5, 0.5, 0.5)
CLIP_MEAN: Channels = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Channels = (0.26862954, 0.26130258, 0.27577711)

Edges = dict[str, Pixels | None]
Factor = Annotated[float, Field(gt=0, le=255)]


@dataclass(frozen=True)
class Processor:
    """The values of an image processor that its config may leave out."""

    size: dict[str, int]
    resample: int
    mean: Channels = HALF
    std: Channels = HALF
    crop: int | None = None  # edge of the crop at the centre; None where it does not crop


PROCESSORS = {
    "ConvNextImageProcessor": Processor({"shortest_edge": WARPED}, 3),
    "ViTImageProcessor": Processor({"height": 224, "width": 224}, 2),
    "DINOv3ViTImageProcessor": Processor({"height": 224, "width": 224}, 2, IMAGENET_MEAN, IMAGENET_STD),
    "BitImageProcessor": Processor({"shortest_edge": 224}, 3, CLIP_MEAN, CLIP_STD, crop=224),
    "SegformerImageProcessor": Processor({"height": 512, "width": 512}, 2, IMAGENET_MEAN, IMAGENET_STD),
    "CLIPImageProcessor": Processor({"shortest_edge": 224}, 3, CLIP_MEAN, CLIP_STD, crop=224),
}

# What AutoImageProcessor takes for a model whose processor names no class
OF_MODELS = {
    "convnext": "ConvNextImageProcessor",
    "convnextv2": "ConvNextImageProcessor",
    "dinov3_convnext": "DINOv3ViTImageProcessor",
    "upernet": "SegformerImageProcessor",
}


class ProcessorShape(Shape):
    """What is read of a preprocessor_config.json."""

    image_processor_type: Line | None = None
    feature_extractor_type: Line | None = None  # before transformers 4.27
    size: Pixels | Edges | None = None
    crop_size: Pixels | Edges | None = None
    crop_pct: Part | None = None
    resample: Annotated[int, Field(ge=0, lt=len(RESAMPLINGS))] | None = None
    do_resize: bool | None = None
    do_center_crop: bool | None = None
    do_rescale: bool | None = None
    do_normalize: bool | None = None
    do_pad: bool | None = None
    do_reduce_labels: bool | None = None
    reduce_labels: bool | None = None  # before transformers 4.27
    rescale_factor: Factor | None = None
    image_mean: float | list[float] | None = None
    image_std: float | list[float] | None = None


def of_processor(config: dict[str, Any], version: str | None = None) -> tuple[Preprocessing, str]:
    """Return the preprocessing of an image processor, and the name of its class.

    version: of the transformers that saved it, as `config.json` beside it says.
    Raises DamagedError where it is none of those we know, or does what no input of one size can have.
    """
    check(config, ProcessorShape)
    name = class_of(config)
    if name not in PROCESSORS:
        named = f"its image processor is {name}, which is none of" if name else "it names no class, such as"
        raise DamagedError(f"{named} {', '.join(PROCESSORS)}")
    usual = PROCESSORS[name]
    resample = config.get("resample")
    interpolation = RESAMPLINGS[usual.resample if resample is None else resample]
    check_filter(name, interpolation, tensors=(tensors := resizes_tensors(config, name, version)))
    if config.get("do_resize") is False or config.get("do_pad"):
        raise DamagedError(f"its {name} {'pads' if config.get('do_pad') else 'does not resize'} images")
    values = {
        **(sizes_of_convnext(config, usual) if name.startswith("ConvNext") else sizes(config, usual)),
        **normalization(config, usual),
        "interpolation": interpolation,
        "crop_rounding": "floor",
        "resampler": "pytorch" if tensors else "pillow",
        "exif": True,
        "label_zero": "none" if config.get("do_reduce_labels") or config.get("reduce_labels") else "class",
    }
    return Preprocessing.from_json(values), name


def class_of(config: dict[str, Any]) -> str:
    """Return the class that a config names, without what tells its backend; empty where it names none."""
    named = config.get("image_processor_type") or config.get("feature_extractor_type") or ""
    plain = str(named).replace("FeatureExtractor", "ImageProcessor")
    return plain.removesuffix("Fast").removesuffix("Pil")


def with_class(config: dict[str, Any], model_type: str | None) -> dict[str, Any]:
    """Return a config with the class that transformers takes for the model, where it names none."""
    usual = OF_MODELS.get(model_type or "")
    return config if usual is None or class_of(config) else {**config, "image_processor_type": usual}


def resizes_tensors(config: dict[str, Any], name: str, version: str | None) -> bool:
    """Return whether a processor resizes 8-bit tensors."""
    if name.startswith("DINOv3"):
        return False
    major = (version or "").partition(".")[0]
    named = str(config.get("image_processor_type"))
    return named.endswith("Fast") or (major.isdecimal() and int(major) >= 5 and not named.endswith("Pil"))


def check_filter(name: str, interpolation: str, *, tensors: bool) -> None:
    """Raise DamagedError for a filter whose pixels only PyTorch has.

    Of 8-bit tensors, it takes other pixels than Pillow for "nearest", has its own "lanczos", and neither
    "box" nor "hamming". Of floats, all but "bilinear" go beyond the range that bytes have, or take others.
    """
    if name.startswith("DINOv3"):
        known: tuple[str, ...] = ("bilinear",)
    else:
        known = TENSOR_FILTERS if tensors else RESAMPLINGS
    if interpolation not in known:
        has = " and ".join(known)
        raise DamagedError(f"its {name} resizes with PyTorch's {interpolation}, of which we know {has}")


def sizes_of_convnext(config: dict[str, Any], usual: Processor) -> dict[str, Any]:
    """Return the keys of a sidecar for sizes: a crop of `crop_pct` below 384 pixels, else the whole image."""
    if config.get("do_center_crop"):
        raise DamagedError("its ConvNextImageProcessor crops a second time (do_center_crop)")
    size = config.get("size") or usual.size
    edge = size if isinstance(size, int) else size.get("shortest_edge")
    if edge is None:
        raise DamagedError(f"its size {size} has no shortest_edge")
    if edge >= WARPED:
        return {"resolution": edge, "crop": 1.0, "resize_mode": "squash"}
    part = config.get("crop_pct")
    return {"resolution": edge, "crop": 224 / 256 if part is None else part, "resize_mode": "center"}


def sizes(config: dict[str, Any], usual: Processor) -> dict[str, Any]:
    """Return the keys of a sidecar for sizes: squashed to height and width, or by the shorter edge."""
    size = config.get("size") or usual.size
    if isinstance(size, int):
        size = {"shortest_edge": size} if "shortest_edge" in usual.size else {"height": size, "width": size}
    told = {key: edge for key, edge in size.items() if edge is not None}
    crops = config.get("do_center_crop")
    cropped = crop_of(config, usual) if (usual.crop is not None if crops is None else crops) else None
    if told.keys() == {"height", "width"}:
        mode, resized = "squash", (told["height"], told["width"])
    elif told.keys() == {"shortest_edge"} and cropped:
        mode, resized = "center", (told["shortest_edge"],) * 2
    else:
        raise DamagedError(f"its size {size} gives images of no one size")
    rows, columns = cropped or resized
    if (rows, columns) == resized and mode == "squash":
        width = None if rows == columns else columns
        return {"resolution": rows, "width": width, "crop": 1.0, "resize_mode": mode}
    if rows != columns or resized[0] != resized[1] or resized[0] < rows:
        raise DamagedError(f"it crops {rows}x{columns} of size {size}")
    return {"resolution": rows, "crop": rows / resized[0], "resize": resized[0], "resize_mode": mode}


def crop_of(config: dict[str, Any], usual: Processor) -> tuple[int, int]:
    """Return height and width of the crop at the centre; raise DamagedError where nothing tells them."""
    size = config.get("crop_size") or usual.crop
    if isinstance(size, int):
        return size, size
    rows, columns = (None, None) if size is None else (size.get("height"), size.get("width"))
    if rows is None or columns is None:
        raise DamagedError(f"its crop_size {size} has no height and width")
    return rows, columns


def normalization(config: dict[str, Any], usual: Processor) -> dict[str, Any]:
    """Return mean and std of pixels in 0..1, by which the processor's values come out."""
    factor = config.get("rescale_factor") or 1 / 255
    scale = 255 * (1.0 if config.get("do_rescale") is False else factor)
    scale = 1.0 if abs(scale - 1) < 1e-9 else scale  # 255 times what JSON has of 1 / 255
    found = {}
    for key, plain, given in (("mean", 0.0, usual.mean), ("std", 1.0, usual.std)):
        value = config.get(f"image_{key}")
        value = given if value is None else value
        many = [value] * 3 if isinstance(value, int | float) else list(value)
        many = [plain] * len(many) if config.get("do_normalize") is False else many
        found[key] = [each / scale for each in many]
    return found
