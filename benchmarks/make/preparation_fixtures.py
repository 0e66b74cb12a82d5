"""Make `tests/fixtures/preprocessing` with the libraries themselves: the pixels that each hands to a model.

It needs timm, torchvision, transformers and open_clip, which this project does not: make an environment of
their own (`pip install timm torchvision transformers open_clip_torch`), and run there, from the root:

    PYTHONPATH=.:tests python -m benchmarks.make.preparation_fixtures

Written: `digests.json`, for each way the values that the library was told, and the first half of the SHA-256
of the pixels of each size; `floats.npz`, the pixels themselves where the library resizes floats, which are
compared within a level. Printed: the largest difference of ours to each.
"""

from __future__ import annotations

import hashlib
import json
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from support.patterns import SIZES, pattern

from convnext_edge.checkpoints.preparation import open_clip as ours_open_clip
from convnext_edge.checkpoints.preparation import timm as ours_timm
from convnext_edge.checkpoints.preparation import torchvision as ours_torchvision
from convnext_edge.checkpoints.preparation import transformers as ours_transformers
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import normalize, preprocess

FOLDER = Path(__file__).parents[2] / "tests" / "fixtures" / "preprocessing"
HALF = [0.5, 0.5, 0.5]
Pixels = NDArray[np.float32]  # (3, H, W), normalized, as the library gives them to its model


@dataclass(frozen=True)
class Way:
    """One way of one library."""

    library: str
    told: dict[str, Any]  # the config that the library has
    ours: Preprocessing  # what we make of it
    run: Callable[[Image.Image], Pixels]
    floats: bool = False  # whether the library resizes floats


def ways() -> dict[str, Way]:
    """Return all ways by name."""
    hide_operators()
    return dict([*timm_ways(), *torchvision_ways(), *transformers_ways(), *open_clip_ways()])


def hide_operators() -> None:
    """Let torchvision be imported beside another PyTorch than its own: no transform needs its operators."""
    for name in ("_meta_registrations", "_autograd_registrations"):
        sys.modules[f"torchvision.{name}"] = types.ModuleType(name)


def timm_ways() -> Iterator[tuple[str, Way]]:
    from timm.data import create_transform, resolve_data_config

    def told(size: int | tuple[int, int], crop: float, **more: Any) -> dict[str, Any]:
        rows, columns = (size, size) if isinstance(size, int) else size
        return {"input_size": [3, rows, columns], "crop_pct": crop, **more}

    plain = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    for name, config in {
        "center": told(224, 0.875, **plain),
        "center_288": told(288, 0.95, interpolation="bilinear", **plain),
        "center_whole": told(56, 1.0, interpolation="bicubic", mean=HALF, std=HALF),
        "center_odd": told(33, 0.9, interpolation="lanczos", **plain),
        "center_nearest": told(48, 0.9, interpolation="nearest", **plain),
        "center_wide": told((48, 80), 0.875, **plain),
        "squash": told(384, 1.0, crop_mode="squash", **plain),
        "squash_cropped": told(65, 0.9, crop_mode="squash", **plain),
        "border": told(448, 1.0, crop_mode="border", mean=HALF, std=HALF),
        "border_cropped": told(65, 0.875, crop_mode="border", **plain),
        "border_tall": told((80, 47), 1.0, crop_mode="border", mean=[1.0] * 3, std=HALF),
    }.items():
        values = resolve_data_config(pretrained_cfg=config)
        transform = create_transform(**{**values, "input_size": tuple(values["input_size"])})
        run = lambda image, transform=transform: transform(image).numpy()  # noqa: E731
        yield f"timm_{name}", Way("timm", config, ours_timm.of_pretrained(config), run)


def torchvision_ways() -> Iterator[tuple[str, Way]]:
    from torchvision.models import convnext

    for size in ("Tiny", "Small", "Base", "Large"):
        transform = getattr(convnext, f"ConvNeXt_{size}_Weights").IMAGENET1K_V1.transforms()
        ours = ours_torchvision.of_size(size.lower())
        run = lambda image, transform=transform: transform(image).numpy()  # noqa: E731
        yield f"torchvision_{size.lower()}", Way("torchvision", {"size": size.lower()}, ours, run)


def transformers_ways() -> Iterator[tuple[str, Way]]:
    import transformers
    from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    convnext = {"size": {"shortest_edge": 224}, "crop_pct": 0.875, "resample": 3}
    small = {"size": {"shortest_edge": 40}, "crop_pct": 0.9, "resample": 2, "image_mean": [0.4] * 3}
    warped = {"size": {"shortest_edge": 384}, "resample": 3}
    raw = {**small, "do_rescale": False, "do_normalize": False}
    cropped = {"size": {"shortest_edge": 47}, "crop_size": {"height": 40, "width": 40}}
    for name, kind, options in (
        ("convnext", ConvNextImageProcessorPil, convnext),
        ("convnext_small", ConvNextImageProcessorPil, small),
        ("convnext_raw", ConvNextImageProcessorPil, raw),
        ("convnext_warped", ConvNextImageProcessorPil, warped),
        ("bit", BitImageProcessorPil, {}),
        ("clip_cropped", CLIPImageProcessorPil, cropped),
        ("vit", ViTImageProcessorPil, {"size": {"height": 48, "width": 80}}),
        ("convnext_small_tensors", transformers.ConvNextImageProcessor, small),
        ("convnext_tensors", transformers.ConvNextImageProcessor, convnext),
        ("convnext_warped_tensors", transformers.ConvNextImageProcessor, warped),
        ("clip_cropped_tensors", transformers.CLIPImageProcessor, cropped),
        ("vit_tensors", transformers.ViTImageProcessor, {"size": {"height": 48, "width": 80}}),
        ("dinov3", transformers.DINOv3ViTImageProcessor, {"size": {"height": 24, "width": 24}}),
    ):
        processor = kind(**options)
        told = json.loads(processor.to_json_string())
        version = transformers.__version__ if "tensors" in name else None
        ours, _ = ours_transformers.of_processor(told, version)

        def run(image: Image.Image, processor: Any = processor) -> Pixels:
            made = processor(image, return_tensors="np")["pixel_values"]
            return np.asarray(made[0], np.float32)

        yield f"transformers_{name}", Way("transformers", told, ours, run, floats=name == "dinov3")


def open_clip_ways() -> Iterator[tuple[str, Way]]:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    for mode, size in (("shortest", 256), ("longest", 65), ("squash", 320), ("longest", 320)):
        values = {"size": size, "resize_mode": mode, "fill_color": 255, "interpolation": "bicubic"}
        config = {"model_cfg": {"vision_cfg": {"image_size": size}}, "preprocess_cfg": values}
        transform = image_transform_v2(PreprocessCfg(**values), is_train=False)
        run = lambda image, transform=transform: transform(image).numpy()  # noqa: E731
        yield f"open_clip_{mode}_{size}", Way("open_clip", config, ours_open_clip.of_open_clip(config), run)


def levels(values: Pixels, prepared: Preprocessing) -> NDArray[np.float64]:
    """Return normalized values as levels of pixels in 0..255, (H, W, 3)."""
    mean, std = (np.array(each, np.float64).reshape(-1, 1, 1) for each in (prepared.mean, prepared.std))
    return ((values * std + mean) * 255).transpose(1, 2, 0)


def main() -> None:
    told: dict[str, Any] = {}
    arrays: dict[str, NDArray[np.uint8]] = {}
    for name, way in ways().items():
        digests, furthest, apart = {}, 0.0, 0.0
        for width, height in SIZES:
            image = pattern(width, height)
            values, ours = way.run(image), preprocess(image, way.ours)
            normalized = normalize(ours.transpose(2, 0, 1)[None], way.ours)[0]
            theirs = levels(values, way.ours)
            pixels = theirs.round().astype(np.uint8)
            furthest = max(furthest, float(np.abs(theirs - ours).max()))
            apart = max(apart, float(np.abs(values - normalized).max()))
            if way.floats:
                arrays[f"{name}/{width}x{height}"] = pixels
            else:
                digests[f"{width}x{height}"] = hashlib.sha256(pixels.tobytes()).hexdigest()[:32]
        version = "5.0" if "tensors" in name else None
        told[name] = {"library": way.library, "told": way.told, "version": version, "digests": digests}
        print(f"{name:36} {furthest:8.4f} levels, {apart:.1e} when normalized")
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "digests.json").write_text(json.dumps(told, indent=1) + "\n")
    np.savez_compressed(FOLDER / "floats.npz", allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
