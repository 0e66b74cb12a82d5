"""Which preparation a checkpoint has: the one that a file beside it tells, or its library's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from convnext_edge.checkpoints.config import CONFIG, REPAIR, ObjectShape
from convnext_edge.checkpoints.detectors import prepared
from convnext_edge.checkpoints.loading import Checkpoint
from convnext_edge.checkpoints.preparation import open_clip, timm, torchvision
from convnext_edge.checkpoints.preparation.open_clip import OPEN_CLIP_CONFIG
from convnext_edge.checkpoints.preparation.transformers import (
    PREPROCESSOR,
    class_of,
    of_processor,
    with_class,
)
from convnext_edge.checkpoints.variants import find_variant, match
from convnext_edge.errors import CheckpointError
from convnext_edge.images.changes import PreprocessingChanges
from convnext_edge.images.preprocessing import LabelZero, Preprocessing
from convnext_edge.progress import note
from convnext_edge.reading import DamagedError, Line, Shape, read_json

OPTIONS = "--resolution, --crop, --resize-mode, --interpolation, --mean and --std"
IMAGES_AS = "images as "  # what an assumption of images begins with
ADE20K = 150  # classes
WRAPPED = "TimmWrapperImageProcessor"  # which goes by the config.json of timm


@dataclass(frozen=True)
class Preparation:
    """How the images of a model are prepared, and who says so."""

    preprocessing: Preprocessing
    by: str  # the end of a sentence, as "config.json beside it says"
    told: bool = True  # False: taken as the library of the layout prepares them

    @property
    def assumed(self) -> tuple[str, ...]:
        """What is assumed of the images: nothing where a file tells."""
        return () if self.told else (f"{IMAGES_AS}{self.by}",)


class VersionShape(Shape):
    """What is read of transformers' config; the modules of the libraries check other values."""

    transformers_version: Line | None = None
    model_type: Line | None = None


def about(assumed: tuple[str, ...], *, images: bool) -> tuple[str, ...]:
    """Return what is assumed of the preparation of images, or of all else."""
    return tuple(each for each in assumed if each.startswith(IMAGES_AS) == images)


def find_preparation(path: Path, loaded: Checkpoint) -> Preparation:
    """Return how the images of a checkpoint are prepared.

    path: its file, or its folder. Raises CheckpointError where a file beside it tells what we do not know.
    """
    found = beside(path if path.is_dir() else path.parent, loaded) or of_library(loaded)
    return fitting(found, loaded.architecture.channels)


def beside(folder: Path, loaded: Checkpoint) -> Preparation | None:
    """Return what a config in a folder tells of the images, None where there is none of this model."""
    if loaded.config is not None:
        loaded.config.check(VersionShape)
    config = {} if loaded.config is None else loaded.config.values
    of_another = loaded.config is None and (folder / CONFIG).is_file()
    processor = None if of_another else read(folder / PREPROCESSOR)
    if processor is not None and class_of(processor) != WRAPPED:
        processor = with_class(processor, config.get("model_type"))
        version = config.get("transformers_version")
        made, name = told(folder / PREPROCESSOR, partial(of_processor, version=version), processor)
        return Preparation(made, f"{PREPROCESSOR} beside it says ({name})")
    # early versions of timm had its values at the top
    values = config.get("pretrained_cfg") or ("input_size" in config and config)
    if isinstance(values, dict):
        made = told(folder / CONFIG, timm.of_pretrained, values)
        if other := timm.tested_at(values):
            note(f"timm also tests this model at another size: {other}")
        return Preparation(made, f"{CONFIG} beside it says (timm)")
    if not of_another and (clip := read(folder / OPEN_CLIP_CONFIG)) is not None:
        return Preparation(
            told(folder / OPEN_CLIP_CONFIG, open_clip.of_open_clip, clip),
            f"{OPEN_CLIP_CONFIG} beside it says",
        )
    return None


def of_library(loaded: Checkpoint) -> Preparation:
    """Return how the library whose names the tensors have prepares images, where nothing else tells."""
    if loaded.task == "segment":
        return of_segmenter(loaded.architecture.classes)
    if (detection := loaded.architecture.detection) is not None:
        return of_detector(detection.library)
    return of_classifier(loaded)


def of_classifier(loaded: Checkpoint) -> Preparation:
    """Return how the library of a classifier or a backbone prepares images."""
    size = match(loaded.architecture)
    shape = "models of no published size" if size is None else f"those of {size}"
    if loaded.layout.startswith("torchvision"):
        return Preparation(torchvision.of_size(size), f"torchvision prepares {shape}", told=False)
    if loaded.layout.startswith("dinov3"):
        made, name = of_processor({"image_processor_type": "DINOv3ViTImageProcessor"})
        return Preparation(made, f"transformers prepares them ({name})", told=False)
    if loaded.layout.startswith("open_clip"):
        return Preparation(open_clip.usual(), "OpenCLIP prepares those of 256 pixels", told=False)
    known = Preprocessing() if size is None else find_variant(size).preprocessing
    if loaded.layout.startswith("transformers"):
        taken = replace(known, crop_rounding="floor", exif=True)
        return Preparation(taken, f"transformers prepares {shape}", told=False)
    return Preparation(known, f"timm prepares {shape}", told=False)


def of_segmenter(classes: int) -> Preparation:
    """Return how transformers prepares the images of its published UPerNets, which learned ADE20K."""
    made, name = of_processor({"image_processor_type": "SegformerImageProcessor"})
    zero: LabelZero = "none" if classes == ADE20K else "class"
    by = f"transformers prepares those of its UPerNets ({name})"
    if zero == "none":
        by += f", with label maps as ADE20K's, whose 0 is none of the {ADE20K} classes"
    return Preparation(replace(made, label_zero=zero), by, told=False)


def of_detector(library: str) -> Preparation:
    """Return how both libraries prepare the images of detectors."""
    by = f"{library} prepares those of its detectors, in one size for all"
    return Preparation(prepared(), by, told=False)


def fitting(found: Preparation, channels: int) -> Preparation:
    """Return a preparation for images of `channels`: where it has others, pixels are taken as they are.

    Raises CheckpointError where a file tells of other channels than the model takes.
    """
    had = len(found.preprocessing.mean)
    if had == channels:
        return found
    if found.told:
        raise CheckpointError(
            f"{found.by.partition(' ')[0]} is of {had} channels, and the model takes {channels}",
            hint="Repair it, or move it away.",
        )
    plain = PreprocessingChanges().apply(found.preprocessing, channels)
    return replace(found, preprocessing=plain, by=f"{found.by}, with pixels in 0..1 as they are")


def read(place: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file, None where there is none; raise CheckpointError for a damaged one."""
    if not place.is_file():
        return None
    return read_json(place, ObjectShape, hint=REPAIR, kind=CheckpointError)


def told(place: Path, make: Callable[[dict[str, Any]], Any], values: dict[str, Any]) -> Any:
    """Return what a library's module makes of a config; raise CheckpointError where it refuses."""
    try:
        return make(values)
    except DamagedError as error:
        raise CheckpointError(
            f"{place} tells of images what we do not know: {error}",
            hint=f"Move it away, and say how they are prepared: {OPTIONS}.",
        ) from error
