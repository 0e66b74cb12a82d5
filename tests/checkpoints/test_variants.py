"""The table of variants agrees with the papers and answers to the names that people use."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from convnext_edge import variants as variants_command
from convnext_edge.artifacts.workspace import file_name
from convnext_edge.checkpoints.load_source import load_source
from convnext_edge.checkpoints.variants import DEMO, SIZES, Variant, find_variant, match, variants
from convnext_edge.errors import UsageError
from convnext_edge.images.changes import PreprocessingChanges
from convnext_edge.network.convnext import ConvNeXt

V1_NAMES = ["tiny", "small", "base", "large", "xlarge", "atto", "femto", "pico", "nano"]
V2_NAMES = ["v2_atto", "v2_femto", "v2_pico", "v2_nano", "v2_tiny", "v2_base", "v2_large", "v2_huge"]
OTHERS = ["zepto_rms", "zepto_rms_ols", "atto_ols", "femto_ols", "pico_ols", "nano_ols"]
# ConvNeXt V1, table 10, by their own count: parameters with the auxiliary head, multiply-adds at four windows
UPERNETS = {
    "upernet_tiny": (60, 512, 939),
    "upernet_small": (82, 512, 1027),
    "upernet_base": (122, 512, 1170),
    "upernet_large": (235, 640, 2458),
    "upernet_xlarge": (391, 640, 3335),
}
# object_detection/README.md of ConvNeXt: file, AP of boxes and of masks, parameters, multiply-adds
DETECTORS = {
    "mask_rcnn_tiny": ("mask_rcnn_convnext_tiny_1k_3x", 0.462, 0.417, "48M", 262),
    "cascade_mask_rcnn_tiny": ("cascade_mask_rcnn_convnext_tiny_1k_3x", 0.504, 0.437, "86M", 741),
    "cascade_mask_rcnn_small": ("cascade_mask_rcnn_convnext_small_1k_3x", 0.519, 0.450, "108M", 827),
    "cascade_mask_rcnn_base": ("cascade_mask_rcnn_convnext_base_1k_3x", 0.527, 0.456, "146M", 964),
    "cascade_mask_rcnn_base.fb_in22k": ("cascade_mask_rcnn_convnext_base_22k_3x", 0.540, 0.469, "146M", 964),
    "cascade_mask_rcnn_large": ("cascade_mask_rcnn_convnext_large_22k_3x", 0.548, 0.476, "255M", 1354),
    "cascade_mask_rcnn_xlarge": ("cascade_mask_rcnn_convnext_xlarge_22k_3x", 0.552, 0.477, "407M", 1898),
}
NAMES = [
    *(*V1_NAMES, *V2_NAMES, *OTHERS, "tiny_hnf", "large_mlp", "xxlarge"),
    *("demo", "demo_segment", "demo_detect", *UPERNETS, *DETECTORS),
]
# ConvNeXt V1, table 1, and the README of its repository for T and S at 384: parameters, multiply-adds
PAPER_V1 = [
    ("tiny", "29M", 224, "4.5G"),
    ("small", "50M", 224, "8.7G"),
    ("base", "89M", 224, "15.4G"),
    ("large", "198M", 224, "34.4G"),
    ("xlarge", "350M", 224, "60.9G"),
    ("tiny", "29M", 384, "13.1G"),
    ("small", "50M", 384, "25.5G"),
    ("base", "89M", 384, "45.1G"),
    ("large", "198M", 384, "101.0G"),
    ("xlarge", "350M", 384, "179.0G"),
]
# README of ConvNeXt-V2
PAPER_V2 = [
    ("v2_atto", "3.7M", "0.55G"),
    ("v2_femto", "5.2M", "0.78G"),
    ("v2_pico", "9.1M", "1.37G"),
    ("v2_nano", "15.6M", "2.45G"),
    ("v2_tiny", "28.6M", "4.46G"),  # 4.47 there; all others are rounded as ours
    ("v2_huge", "660.3M", "114.92G"),  # 660M and 115G there
]


@pytest.mark.parametrize(("name", "params", "resolution", "macs"), PAPER_V1)
def test_params_and_macs_of_v1_are_the_papers(name: str, params: str, resolution: int, macs: str) -> None:
    architecture = find_variant(name).architecture
    assert f"{architecture.params / 1e6:.0f}M" == params
    assert f"{architecture.macs(resolution) / 1e9:.1f}G" == macs


@pytest.mark.parametrize(("name", "params", "macs"), PAPER_V2)
def test_params_and_macs_of_v2_are_the_papers(name: str, params: str, macs: str) -> None:
    architecture = find_variant(name).architecture
    assert f"{architecture.params / 1e6:.1f}M" == params
    assert f"{architecture.macs(224) / 1e9:.2f}G" == macs


# timm's results/results-imagenet.csv, in millions.
PARAMS_OF_TIMM = {
    "zepto_rms": 2.16,
    "zepto_rms_ols": 2.16,
    "atto_ols": 3.70,
    "femto_ols": 5.23,
    "pico_ols": 9.06,
    "nano_ols": 15.65,
    "tiny_hnf": 28.59,
    "large_mlp": 200.13,
    "xxlarge": 846.47,
}


@pytest.mark.parametrize(("name", "millions"), PARAMS_OF_TIMM.items())
def test_params_of_the_other_sizes_are_timms(name: str, millions: float) -> None:
    assert round(find_variant(name).architecture.params / 1e6, 2) == millions


@pytest.mark.parametrize("name", UPERNETS)
def test_segmenters_are_the_papers(name: str) -> None:
    variant = find_variant(name)
    params, window, macs = UPERNETS[name]
    dim = variant.architecture.dims[2]
    # a 3x3 convolution to 256 channels with a BatchNorm, and a classifier: it trains, and answers nothing
    auxiliary = 9 * 256 * dim + 2 * 256 + 256 * 150 + 150
    assert (variant.architecture.params + auxiliary) / 1e6 == pytest.approx(params, rel=0.01)
    assert variant.architecture.macs(window, 4 * window) / 1e9 == pytest.approx(macs, rel=0.01)
    assert (variant.resolution, variant.task, variant.license) == (window, "segment", "mit")


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_are_the_papers(name: str) -> None:
    file, box_ap, mask_ap, params, macs = DETECTORS[name]
    variant = find_variant(name)
    assert find_variant(file) == find_variant(f"{file}.pth") == variant
    assert variant.source == f"https://dl.fbaipublicfiles.com/convnext/coco/{file}.pth"
    assert (variant.published_box_ap, variant.published_mask_ap) == (box_ap, mask_ap)
    assert f"{variant.architecture.params / 1e6:.0f}M" == params
    assert variant.architecture.macs(800, 1280) / 1e9 == pytest.approx(macs, rel=0.002)
    assert (variant.preprocessing.size, variant.task, variant.license) == ((800, 1344), "detect", "mit")


def test_the_table_tells_multiply_adds_of_detectors_beside_those_of_their_authors() -> None:
    rows = {row.name: row for row in variants_command().variants}
    row = rows["cascade_mask_rcnn_large"]
    assert (row.resolution, row.width, row.published_macs) == (800, 1280, 1354e9)
    assert row.macs == pytest.approx(1354e9, rel=0.002)
    assert (row.published_box_ap, row.published_mask_ap) == (0.548, 0.476)
    (line,) = (line for line in variants_command().summary().splitlines() if line.startswith(row.name))
    assert line.split() == ["cascade_mask_rcnn_large", "255M", "1353G", "800", "54.8%", "mit"]
    assert rows["tiny"].width is None
    assert rows["tiny"].published_macs is None


def test_the_accuracy_of_segmenters_is_that_of_mmsegmentations_weights() -> None:
    # its configs/convnext/README.md, column mIoU: one scale
    told = [find_variant(name).published_miou for name in UPERNETS]
    assert told == [0.4611, 0.4856, 0.4871, 0.5316, 0.5358]
    assert {variant.task for variant in variants() if variant.published_miou} == {"segment"}


@pytest.mark.parametrize(
    "name", ["xlarge", "nano", "demo", "demo_segment", "demo_detect", "zepto_rms_ols", "large_mlp"]
)
def test_params_are_counted_as_the_module_has_them(name: str) -> None:
    architecture = find_variant(name).architecture
    with torch.device("meta"):
        model = ConvNeXt(architecture)
    assert sum(parameter.numel() for parameter in model.parameters()) == architecture.params


def test_the_table_starts_with_the_promised_names_and_has_each_once() -> None:
    names = [variant.name for variant in variants()]
    assert names[: len(NAMES)] == NAMES
    assert len(set(names)) == len(names)
    assert len({variant.source for variant in variants()}) == len(names)


@pytest.mark.parametrize("variant", variants(), ids=lambda variant: variant.name)
def test_each_variant_can_run_at_its_resolution(variant: Variant) -> None:
    found = find_variant(variant.name)
    assert found == variant
    assert found.resolution % found.architecture.stride == 0
    assert found.published_top1 is None or 0.72 < found.published_top1 < 0.90
    assert (found.task == "embed") == (found.classes in (0, 640, 768, 1024))
    assert (found.published_top1 is None) == (found.classes != 1000)


def test_a_tag_chooses_classes_resolution_crop_and_source() -> None:
    found = find_variant("tiny.fb_in22k_ft_in1k_384")
    assert (found.resolution, found.preprocessing.crop, found.classes) == (384, 1.0, 1000)
    assert (found.source, found.published_top1) == ("timm/convnext_tiny.fb_in22k_ft_in1k_384", 0.841)
    assert find_variant("base.fb_in22k").classes == 21841
    assert find_variant("nano").preprocessing.crop == 0.95
    assert find_variant("xlarge").source == "timm/convnext_xlarge.fb_in22k_ft_in1k"
    assert (
        find_variant("v2_huge.fcmae_ft_in22k_in1k_512").source
        == "timm/convnextv2_huge.fcmae_ft_in22k_in1k_512"
    )


def test_weights_of_v2_are_not_for_commercial_use() -> None:
    licenses = {(variant.generation, variant.license) for variant in variants()}
    of_meta = {("v1", "dinov3-license"), ("v1", "fair-noncommercial-research-license")}
    assert licenses == {("v1", "apache-2.0"), ("v1", "mit"), ("v2", "cc-by-nc-4.0"), *of_meta}


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("convnext_tiny", "tiny"),
        ("tiny.fb_in1k", "tiny"),
        ("convnext_base.fb_in22k", "base.fb_in22k"),
        ("xlarge.fb_in22k_ft_in1k", "xlarge"),
        ("convnextv2_tiny", "v2_tiny"),
        ("convnextv2_nano.fcmae_ft_in22k_in1k_384", "v2_nano.fcmae_ft_in22k_in1k_384"),
        ("hf-hub:timm/convnext_tiny.dinov3_lvd1689m", "tiny.dinov3_lvd1689m"),
        ("facebook/convnext-tiny-224", "tiny"),
        ("facebook/convnext-base-384-22k-1k", "base.fb_in22k_ft_in1k_384"),
        ("facebook/convnext-large-224-22k", "large.fb_in22k"),
        ("facebook/convnextv2-tiny-22k-384", "v2_tiny.fcmae_ft_in22k_in1k_384"),
        ("facebook/convnextv2-atto-1k-224", "v2_atto"),
        ("facebook/dinov3-convnext-small-pretrain-lvd1689m", "small.dinov3_lvd1689m"),
        ("openmmlab/upernet-convnext-xlarge", "upernet_xlarge"),
    ],
)
def test_names_of_other_libraries_are_aliases(alias: str, name: str) -> None:
    assert find_variant(alias).name == name


@pytest.mark.parametrize("name", ["tyni", "", "tiny.", "tiny.fb_in21k", "v2_small", "TINY", "resnet50"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_variant(name)
    assert repr(name) in caught.value.message
    assert caught.value.hint.endswith("All: convnext-edge variants.")


def test_a_typing_error_is_answered_with_the_nearest_names() -> None:
    with pytest.raises(UsageError) as caught:
        find_variant("tyni")
    assert caught.value.hint.startswith("Nearest is tiny.")


def test_match_names_an_architecture_whatever_its_classes() -> None:
    for name, architecture in SIZES.items():
        assert match(replace(architecture, classes=7)) == name
    assert match(DEMO.architecture) == "demo"
    assert match(replace(SIZES["tiny"], patch=2)) is None
    assert match(replace(SIZES["tiny"], layer_scale=False)) is None


def test_the_table_needs_no_pytorch() -> None:
    code = (
        "import sys, convnext_edge.checkpoints.variants\n"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("resolution", "name"), [(None, "demo.onnx"), (32, "demo.onnx"), (64, "demo-64px.onnx")]
)
def test_a_resolution_that_is_not_the_variants_own_is_in_the_name(resolution: int | None, name: str) -> None:
    source = load_source("demo", changes=PreprocessingChanges(resolution=resolution))
    assert file_name(source.describe(), ".onnx") == name
