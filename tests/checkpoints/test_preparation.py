"""How the images of a checkpoint are prepared: told by a file beside it, or by the library of its tensors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from support.places import TESTS

from convnext_edge.artifacts.workspace import Workspace
from convnext_edge.checkpoints.expectation import Expectation
from convnext_edge.checkpoints.kept_weights import save_weights
from convnext_edge.checkpoints.load_source import load_source
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.checkpoints.preparation.found import Preparation, find_preparation
from convnext_edge.checkpoints.preparation.open_clip import of_open_clip
from convnext_edge.checkpoints.preparation.timm import of_pretrained
from convnext_edge.checkpoints.preparation.transformers import of_processor
from convnext_edge.errors import CheckpointError
from convnext_edge.images.changes import PreprocessingChanges
from convnext_edge.images.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from convnext_edge.reading import DamagedError

CHECKPOINTS = TESTS / "fixtures" / "checkpoints"
OTHERS = TESTS / "fixtures" / "architectures"
HALF = (0.5, 0.5, 0.5)
OF_TRANSFORMERS = {
    "model_type": "convnextv2",
    "hidden_sizes": [16, 24, 32, 48],
    "depths": [1, 1, 2, 1],
    "transformers_version": "5.24.0",
}
V2_AT_384 = {
    "image_processor_type": "ConvNextImageProcessor",
    "size": {"shortest_edge": 384},
    "crop_pct": 0.875,
    "resample": 3,
    "image_mean": list(HALF),
    "image_std": list(HALF),
}
TIMM_AT_288 = {
    "architecture": "convnext_tiny",
    "model_args": {"depths": [1, 1, 2, 1], "dims": [16, 24, 32, 48]},
    "pretrained_cfg": {
        "input_size": [3, 288, 288],
        "crop_pct": 0.95,
        "interpolation": "bilinear",
        "mean": list(HALF),
        "std": [0.25] * 3,
    },
}


def folder(place: Path, checkpoint: str, **files: Any) -> Path:
    """Lay a checkpoint into a folder with JSON files, `config=...` as config.json; return its path there."""
    path = place / f"model{Path(checkpoint).suffix}"
    shutil.copyfile(CHECKPOINTS / checkpoint, path)
    for name, value in files.items():
        (place / f"{name}.json").write_text(json.dumps(value))
    return path


def preparation(path: Path) -> Preparation:
    return find_preparation(path, load_checkpoint(path))


def test_a_folder_of_transformers_is_prepared_as_its_processor_says(tmp_path: Path) -> None:
    path = folder(
        tmp_path, "transformers_v2.safetensors", config=OF_TRANSFORMERS, preprocessor_config=V2_AT_384
    )
    found = preparation(path)
    assert found.preprocessing == Preprocessing(
        384, 1.0, "bicubic", HALF, HALF, None, "squash", None, "floor", resampler="pytorch", exif=True
    )
    assert (found.assumed, found.by) == (
        (),
        "preprocessor_config.json beside it says (ConvNextImageProcessor)",
    )
    nameless = {key: value for key, value in V2_AT_384.items() if key != "image_processor_type"}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(nameless))
    assert preparation(path) == found, "AutoImageProcessor goes by the type of the model"


def test_a_folder_of_timm_is_prepared_as_its_config_says(tmp_path: Path) -> None:
    found = preparation(folder(tmp_path, "timm_v1.safetensors", config=TIMM_AT_288))
    assert found.preprocessing == Preprocessing(288, 0.95, "bilinear", HALF, (0.25,) * 3)
    assert (found.assumed, found.by) == ((), "config.json beside it says (timm)")


def test_files_beside_a_checkpoint_of_another_model_are_not_taken(tmp_path: Path) -> None:
    of_another = {**OF_TRANSFORMERS, "hidden_sizes": [96, 192, 384, 768]}
    path = folder(tmp_path, "transformers_v2.safetensors", config=of_another, preprocessor_config=V2_AT_384)
    found = preparation(path)
    assert (found.told, found.preprocessing.resolution) == (False, 224)


@pytest.mark.parametrize(
    ("checkpoint", "expected", "by"),
    [
        (
            CHECKPOINTS / "torchvision_v1.pth",
            Preprocessing(224, 224 / 256, "bilinear", resize=256),
            "torchvision prepares models of no published size",
        ),
        (
            CHECKPOINTS / "transformers_v1.safetensors",
            Preprocessing(crop_rounding="floor", exif=True),
            "transformers prepares models of no published size",
        ),
        (CHECKPOINTS / "official_v2.pth", Preprocessing(), "timm prepares models of no published size"),
        (
            OTHERS / "hf_dinov3" / "model.safetensors",
            Preprocessing(224, 1.0, "bilinear", resize_mode="squash", crop_rounding="floor", exif=True),
            "transformers prepares them (DINOv3ViTImageProcessor)",
        ),
    ],
)
def test_without_a_file_images_are_prepared_as_the_library_does(
    checkpoint: Path, expected: Preprocessing, by: str
) -> None:
    found = preparation(checkpoint)
    assert found.preprocessing == expected
    assert found.assumed == (f"images as {by}",)


def test_a_model_of_four_channels_takes_pixels_as_they_are() -> None:
    found = preparation(OTHERS / "timm_channels4.pth")
    assert (found.preprocessing.mean, found.preprocessing.std) == ((0.0,) * 4, (1.0,) * 4)
    assert "pixels in 0..1 as they are" in found.assumed[0]


def test_a_config_of_other_channels_than_the_model_is_refused(tmp_path: Path) -> None:
    gray = {**TIMM_AT_288["pretrained_cfg"], "input_size": [1, 288, 288], "mean": [0.5], "std": [0.5]}
    path = folder(tmp_path, "timm_v1.safetensors", config={**TIMM_AT_288, "pretrained_cfg": gray})
    with pytest.raises(CheckpointError, match=r"config.json is of 1 channels, and the model takes 3"):
        preparation(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"image_processor_type": "BeitImageProcessor"},
            "its image processor is BeitImageProcessor",
        ),
        ({"do_resize": False}, "does not resize"),
        ({"do_pad": True}, "pads images"),
        ({"size": {"longest_edge": 384}}, "has no shortest_edge"),
        ({"size": 0}, "size must be a whole number of at least 1"),
        ({"resample": 9}, "resample must be a whole number below 6"),
        ({"do_center_crop": True}, "crops a second time"),
        ({"image_processor_type": "MyProcessor"}, "its image processor is MyProcessor, which is none of"),
        # 5.24 resizes tensors: of a 101x64 image to 24 pixels, "nearest" takes other pixels than Pillow
        ({"resample": 0}, "resizes with PyTorch's nearest"),
        ({"resample": 1}, "resizes with PyTorch's lanczos"),
        # of floats, a cubic goes up to 50 levels beyond what bytes have
        ({"image_processor_type": "DINOv3ViTImageProcessor"}, "resizes with PyTorch's bicubic"),
        ({"image_mean": [9, 9, 9]}, "must be a number of at most 1"),
        (
            {"image_processor_type": "CLIPImageProcessor", "do_center_crop": False},
            "gives images of no one size",
        ),
        ({"image_processor_type": "CLIPImageProcessor", "crop_size": 400}, "it crops 400x400 of size"),
    ],
)
def test_a_processor_that_we_do_not_know_is_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    told = {**V2_AT_384, **changes}
    path = folder(tmp_path, "transformers_v2.safetensors", config=OF_TRANSFORMERS, preprocessor_config=told)
    with pytest.raises(CheckpointError) as caught:
        preparation(path)
    assert said in caught.value.message
    assert "preprocessor_config.json tells of images what we do not know" in caught.value.message
    assert "--resize-mode" in caught.value.hint


def test_configs_of_early_transformers_are_read() -> None:
    early = {
        "feature_extractor_type": "ConvNextFeatureExtractor",
        "size": 224,
        "crop_pct": 0.9,
        "resample": 3,
    }
    found, name = of_processor(early)
    assert name == "ConvNextImageProcessor"
    assert (found.resolution, found.crop, found.resampler) == (224, 0.9, "pillow")


@pytest.mark.parametrize(
    ("named", "version", "resampler"),
    [
        ("ConvNextImageProcessor", "4.57.1", "pillow"),
        ("ConvNextImageProcessor", "5.0.0.dev0", "pytorch"),
        ("ConvNextImageProcessorFast", "4.57.1", "pytorch"),
        ("ConvNextImageProcessor", None, "pillow"),
    ],
)
def test_the_version_of_transformers_tells_who_resizes(
    named: str, version: str | None, resampler: str
) -> None:
    found, _ = of_processor({"image_processor_type": named}, version)
    assert found.resampler == resampler


def test_pixels_that_are_not_rescaled_are_normalized_as_they_come() -> None:
    raw, _ = of_processor(
        {**V2_AT_384, "do_rescale": False, "image_mean": [127.5] * 3, "image_std": [51] * 3}
    )
    assert raw.mean == pytest.approx(HALF)
    assert raw.std == pytest.approx((0.2,) * 3)
    plain, _ = of_processor({**V2_AT_384, "do_normalize": False})
    assert (plain.mean, plain.std) == ((0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize(
    ("read", "config"),
    [
        (of_pretrained, {"interpolation": "random"}),
        (of_pretrained, {"crop_mode": "tiled"}),
        (of_pretrained, {"mean": [0.5]}),
        (of_open_clip, {"model_cfg": {"vision_cfg": {}}}),
        (of_open_clip, {"model_cfg": {"vision_cfg": {"image_size": 64}}, "preprocess_cfg": {"mean": 2.0}}),
    ],
)
def test_values_that_no_transform_has_are_refused(read: Any, config: dict[str, Any]) -> None:
    with pytest.raises(DamagedError):
        read(config)


def test_what_the_user_says_of_images_is_no_longer_assumed() -> None:
    path = CHECKPOINTS / "torchvision_v1.pth"
    assert any(each.startswith("images as torchvision") for each in load_source(None, path).assumed)
    said = PreprocessingChanges(64, crop=0.9, mean=HALF, std=HALF)
    source = load_source(None, path, changes=said)
    assert not any(each.startswith("images") for each in source.assumed)
    assert source.prepared_by.startswith("options say")
    assert source.preprocessing == Preprocessing(64, 0.9, "bilinear", HALF, HALF)


def test_a_model_of_bgr_images_takes_rgb_to_the_same_answers(tmp_path: Path) -> None:
    path = CHECKPOINTS / "timm_v1.safetensors"
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    plain = load_source(None, path, changes=PreprocessingChanges(64))
    turned = load_source(
        None, path, changes=PreprocessingChanges(64, mean=mean, std=std, channel_order="bgr")
    )
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, found = plain.reference(images.flip(1)), turned.reference(images)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert (turned.preprocessing.mean, turned.preprocessing.std) == (mean[::-1], std[::-1])
    assert plain.preprocessing.mean == IMAGENET_MEAN
    assert plain.preprocessing.std == IMAGENET_STD
    # the user's own model takes BGR, and so do the images of --input-data
    answers = {"": plain.reference(images).detach().numpy()}
    assert Expectation(images.numpy(), answers).check(turned) < 1e-5
    # kept weights are turned already
    kept = save_weights(turned, Workspace(tmp_path)).path
    again = load_source(None, kept, changes=PreprocessingChanges(channel_order="bgr"))
    assert torch.equal(again.reference.stem.conv.weight, turned.reference.stem.conv.weight)
    assert again.preprocessing == turned.preprocessing


def test_an_answer_proves_all_but_the_preparation_of_images() -> None:
    source = load_source(None, CHECKPOINTS / "timm_v1.safetensors")
    assert len(source.assumed) > 1
    assert source.proved().assumed == ("images as timm prepares models of no published size",)


def test_only_what_options_leave_open_is_said_to_be_assumed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "convnext_edge")
    half = PreprocessingChanges(32, 1.0, mean=HALF, std=HALF)
    source = load_source(None, CHECKPOINTS / "timm_v1.safetensors", changes=half)
    (said,) = [text for text in caplog.messages if "how images are prepared" in text]
    assert said.endswith(
        "the rest is taken as timm prepares models of no published size:"
        " --resize-mode center, --interpolation bicubic, --exif ignore, --channel-order rgb"
    )
    assert source.prepared_by == "options say; the rest as timm prepares models of no published size"


def test_nothing_is_assumed_of_images_where_options_say_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "convnext_edge")
    everything = PreprocessingChanges(
        32, 1.0, "bilinear", HALF, HALF, "center", channel_order="rgb", exif="apply"
    )
    source = load_source(None, CHECKPOINTS / "timm_v1.safetensors", changes=everything)
    assert not [text for text in caplog.messages if "how images are prepared" in text]
    assert source.prepared_by == "options say"
