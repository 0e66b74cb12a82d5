"""What a user says of images, over what a checkpoint says."""

from __future__ import annotations

from typing import Any

import pytest

from convnext_edge.errors import UsageError
from convnext_edge.images.changes import PreprocessingChanges
from convnext_edge.images.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from convnext_edge.images.way import way

TORCHVISION = Preprocessing(224, 224 / 236, "bilinear", resize=236)
SQUASHED = Preprocessing(384, 1.0, resize_mode="squash")
TURNED = Preprocessing(mean=(0.1, 0.2, 0.3), channel_order="bgr")


@pytest.mark.parametrize(
    ("base", "changes", "expected"),
    [
        (Preprocessing(), {"crop": 1.0}, Preprocessing(crop=1.0)),  # at the centre, as timm
        (SQUASHED, {"resolution": 224}, Preprocessing(224, 1.0, resize_mode="squash")),
        (SQUASHED, {"resize_mode": "center", "crop": 0.9}, Preprocessing(384, 0.9)),
        (Preprocessing(), {"resize_mode": "squash"}, Preprocessing(crop=1.0, resize_mode="squash")),
        (
            Preprocessing(),
            {"resize_mode": "pad", "crop": 0.9, "pad_color": (255.0, 0.0, 7.0)},
            Preprocessing(crop=0.9, resize_mode="pad", pad_color=(255, 0, 7)),
        ),
        (TORCHVISION, {"interpolation": "bicubic"}, Preprocessing(224, 224 / 236, "bicubic", resize=236)),
        (TORCHVISION, {"resolution": 256}, Preprocessing(256, 224 / 236, "bilinear")),
        (TORCHVISION, {"resolution": (64, 96)}, Preprocessing(64, 224 / 236, "bilinear", width=96)),
        (TORCHVISION, {"crop": 0.5}, Preprocessing(224, 0.5, "bilinear")),
        (  # PyTorch has no lanczos of its own that we know
            Preprocessing(resampler="pytorch"),
            {"interpolation": "lanczos"},
            Preprocessing(interpolation="lanczos"),
        ),
        (
            Preprocessing(resampler="pytorch"),
            {"interpolation": "bilinear"},
            Preprocessing(interpolation="bilinear", resampler="pytorch"),
        ),
        (Preprocessing(), {"exif": "apply"}, Preprocessing(exif=True)),
        (Preprocessing(exif=True), {"exif": "ignore"}, Preprocessing()),
        (Preprocessing(), {"pixel_range": 255}, Preprocessing(mean=(0.0,) * 3, std=(1 / 255,) * 3)),
        (
            Preprocessing(),
            {"pixel_range": 255, "mean": (51.0, 102.0, 255.0), "std": (255.0, 51.0, 25.5)},
            Preprocessing(mean=(0.2, 0.4, 1.0), std=(1.0, 0.2, 0.1)),
        ),
        (
            Preprocessing(),
            {"channel_order": "bgr"},
            Preprocessing(mean=IMAGENET_MEAN[::-1], std=IMAGENET_STD[::-1], channel_order="bgr"),
        ),
        (TURNED, {"channel_order": "bgr"}, TURNED),
        (
            TURNED,
            {"channel_order": "rgb"},
            Preprocessing(mean=(0.3, 0.2, 0.1), std=IMAGENET_STD[::-1]),
        ),
        (
            TURNED,
            {"mean": (0.7, 0.8, 0.9)},
            Preprocessing(mean=(0.9, 0.8, 0.7), channel_order="bgr"),
        ),
    ],
)
def test_changes_take_the_place_of_what_a_checkpoint_says(
    base: Preprocessing, changes: dict[str, Any], expected: Preprocessing
) -> None:
    assert PreprocessingChanges(**changes).apply(base) == expected


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pixel_range": 128}, "--pixel-range 128"),
        ({"mean": (123.7, 116.3, 103.5)}, "--mean 123.7"),
        ({"std": (0.0, 1.0, 1.0)}, "--std 0"),
        ({"pad_color": (255.0,) * 3}, "--pad-color belongs to --resize-mode pad"),
        ({"resize_mode": "pad", "pad_color": (255.5,) * 3}, "--pad-color 255.5"),
        ({"resize_mode": "pad", "pad_color": (255.0,)}, "--pad-color has 1 values"),
        ({"resolution": (0, 64)}, "--resolution 0"),
        ({"resolution": 40_000}, "--resolution 40000"),  # which no sidecar could hold
    ],
)
def test_changes_that_make_no_sense_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        PreprocessingChanges(**changes).apply(Preprocessing())
    assert said in caught.value.message


def test_the_order_of_channels_is_that_of_three() -> None:
    with pytest.raises(UsageError, match="the model takes 4"):
        PreprocessingChanges(channel_order="bgr").apply(Preprocessing(), 4)


@pytest.mark.parametrize(
    ("prepared", "words"),
    [
        (
            TORCHVISION,
            "shorter edge to 236 (bilinear), centre 224x224, RGB, mean 0.485 0.456 0.406,"
            " std 0.229 0.224 0.225",
        ),
        (
            Preprocessing(384, 1.0, mean=(0.0,) * 3, std=(1.0,) * 3, resize_mode="squash", exif=True),
            "turned upright by EXIF, squashed to 384x384 (bicubic), RGB, values 0..1",
        ),
        (
            Preprocessing(
                448,
                1.0,
                mean=(0.0,) * 3,
                std=(1 / 255,) * 3,
                resize_mode="pad",
                pad_color=(255,) * 3,
                channel_order="bgr",
            ),
            "longer edge to 448 (bicubic), padded with 255 255 255, RGB (its BGR stem was turned),"
            " values 0..255",
        ),
        (
            Preprocessing(48, 1.0, "box", (0.5,), (0.25,), width=80, resampler="pytorch"),
            "resized to cover 48x80 (box of PyTorch), centre 48x80, gray, mean 0.5, std 0.25",
        ),
    ],
)
def test_the_whole_way_is_told_in_words(prepared: Preprocessing, words: str) -> None:
    assert way(prepared) == words


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"crop": 1.0}, Preprocessing(crop=1.0, resize_mode="squash")),
        ({"crop": 1.0, "squash": False}, Preprocessing(crop=1.0)),
        ({"crop": 0.875}, Preprocessing()),
        ({"crop": 0.875, "squash": True}, Preprocessing(crop=1.0, resize_mode="squash")),
    ],
)
def test_early_sidecars_squash_where_nothing_is_cropped(
    told: dict[str, Any], expected: Preprocessing
) -> None:
    early = {
        "resolution": 224,
        "interpolation": "bicubic",
        "mean": list(IMAGENET_MEAN),
        "std": list(IMAGENET_STD),
    }
    assert Preprocessing.from_json({**early, **told}) == expected


def test_all_values_come_back_from_a_sidecar() -> None:
    prepared = Preprocessing(
        64,
        0.9,
        "bilinear",
        (0.1,),
        (0.2,),
        None,
        "pad",
        71,
        "floor",
        "pytorch",
        (9,),
        exif=True,
        channel_order="bgr",
    )
    assert Preprocessing.from_json(prepared.to_json()) == prepared
