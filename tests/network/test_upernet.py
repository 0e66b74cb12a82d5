"""UPerNet's decoder: its pooling and lowered forms, and its size beside the paper's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch.nn import functional as F

from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.checkpoints.sizes import SIZES
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network import banded, lowered_decoder
from convnext_edge.network.conv_norm import ConvNormReLU
from convnext_edge.network.convnext import ConvNeXt, random_model
from convnext_edge.network.lowering import LAYER_FACTORIES, LoweredConvNeXt, lower
from convnext_edge.network.upernet import UPerNet, average
from convnext_edge.onnx_graph.tracing import Graph, write_onnx
from convnext_edge.upernet import USUAL_BINS

CHECKPOINT = Path(__file__).parents[1] / "fixtures" / "segmentation" / "hf_upernet"
# Table 10 of the paper (arXiv:2201.03545): parameters in millions, multiply-adds in billions, rows of images
PAPER = {
    "tiny": (60, 939, 512),
    "small": (82, 1027, 512),
    "base": (122, 1170, 512),
    "base at 640": (122, 1828, 640),
    "large": (235, 2458, 640),
    "xlarge": (391, 3335, 640),
}
AUXILIARY = 256  # channels of the head that mmsegmentation adds for training


def upernet(size: str) -> Architecture:
    stages = (0, 1, 2, 3)
    bare = replace(SIZES[size], classes=150, last_norm=False, pooled=False, maps=stages, map_norms=stages)
    return replace(bare, decoder="upernet", decoder_width=512, pool_bins=USUAL_BINS)


@pytest.mark.parametrize("name", PAPER)
def test_parameters_and_multiply_adds_are_the_papers(name: str) -> None:
    params, macs, rows = PAPER[name]
    architecture = upernet(name.split()[0])
    # The paper counts the parameters of the auxiliary head, which answers nothing, and not its products.
    auxiliary = architecture.dims[2] * AUXILIARY * 9 + 2 * AUXILIARY + AUXILIARY * 150 + 150
    assert (architecture.params + auxiliary) / 1e6 == pytest.approx(params, rel=0.01)
    assert architecture.macs(rows, 4 * rows) / 1e9 == pytest.approx(macs, rel=0.01)


def test_the_module_has_the_tensors_that_are_counted() -> None:
    architecture = upernet("tiny")
    with torch.device("meta"):
        module = ConvNeXt(architecture)
    assert {
        name: tuple(tensor.shape) for name, tensor in module.state_dict().items()
    } == architecture.shapes()
    assert sum(weight.numel() for weight in module.parameters()) == architecture.params


@pytest.mark.parametrize("size", [(16, 16), (4, 5), (3, 2), (1, 1), (7, 11)])
def test_parts_are_averaged_as_by_pytorch(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    for edge in USUAL_BINS:
        torch.testing.assert_close(average(x, edge), F.adaptive_avg_pool2d(x, edge))


@pytest.mark.parametrize("form", ["plain", *LAYER_FACTORIES])
@pytest.mark.parametrize("input_type", ["float32", "uint8"])
def test_a_lowered_segmenter_is_the_same_function(form: str, input_type: str) -> None:
    prepared = Preprocessing(96, width=64)
    reference = load_checkpoint(CHECKPOINT).model
    lowered = lower(reference, form, preprocessing=prepared, input_type=input_type)  # type: ignore[arg-type]
    pixels = torch.randint(0, 256, (2, 3, 96, 64), generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (prepared.mean, prepared.std))
    normalized = (pixels / 255 - mean) / std
    with torch.inference_mode():
        expected = reference(normalized)
        found = lowered(pixels.to(torch.uint8) if input_type == "uint8" else normalized)
    assert expected.shape == (2, 7, 96, 64)
    torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.std()), rtol=0)


@pytest.mark.parametrize("form", ["conv", "linear"])
@pytest.mark.parametrize("size", [(96, 64), (70, 100)])
def test_what_is_multiplied_before_it_is_resized_changes_nothing(
    size: tuple[int, int], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of levels that are resized by 2, 4 and 8, and by other factors; logits are resized by products, too."""
    monkeypatch.setattr(lowered_decoder, "WORTH", 1)
    monkeypatch.setattr(lowered_decoder, "LARGE", 1)
    reference = load_checkpoint(CHECKPOINT).model
    lowered = lower(reference, form, preprocessing=Preprocessing(size[0], width=size[1]))  # type: ignore[arg-type]
    assert isinstance(lowered, LoweredConvNeXt)
    names = list(lowered.layers())
    of_fusion = [name for name in names if name.startswith("decoder.fpn_bottleneck")]
    # the finest level, and three rows of the kernel over each of the three others
    assert len(of_fusion) == 1 + 3 * 3
    assert names[-2:] == ["decoder.fpn_bottleneck.3.2", "decoder.classifier"]
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, found = reference(images), lowered(images)
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.std()), rtol=0)


def test_a_graph_of_such_products_takes_any_number_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lowered_decoder, "WORTH", 1)
    monkeypatch.setattr(lowered_decoder, "LARGE", 1)
    monkeypatch.setattr(banded, "BLOCK", 4)  # so that a matrix as small as these has blocks
    reference = load_checkpoint(CHECKPOINT).model
    lowered = lower(reference, "conv", preprocessing=Preprocessing(96))
    assert isinstance(lowered, LoweredConvNeXt)
    path, images = tmp_path / "segmenter.onnx", torch.randn(3, 3, 96, 96)
    write_onnx(lowered, images[:2], path, Graph(["logits"], list(lowered.layers())))
    assert {"Gather", "MatMul"} <= {node.op_type for node in onnx.load(path).graph.node}
    session = onnxruntime.InferenceSession(path)
    for count in (1, 3):
        with torch.inference_mode():
            expected = reference(images[:count])
        (found,) = session.run(None, {"image": images[:count].numpy()})
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-4 * float(expected.std()))


def test_a_fusion_is_split_only_where_that_is_worth_it() -> None:
    small = load_checkpoint(CHECKPOINT).model
    assert "decoder.fpn_bottleneck.1.0" not in lower(small, "conv", preprocessing=Preprocessing(96)).layers()  # type: ignore[operator]
    architecture = upernet("tiny")
    with torch.device("meta"):
        decoder = ConvNeXt(architecture).decoder
    assert isinstance(decoder, UPerNet)
    fusion = decoder.fpn_bottleneck
    assert isinstance(fusion, ConvNormReLU)
    saved = lowered_decoder.saved_products(fusion, lowered_decoder.map_sizes(architecture, (512, 512)))
    # at 128 x 128, 9 * 512 * 512 for each pixel of three levels, but for 64 x 64, 32 x 32 and 16 x 16
    assert saved == (3 * 128**2 - 64**2 - 32**2 - 16**2) * 9 * 512**2 > lowered_decoder.WORTH


def test_random_weights_leave_batch_norms_as_they_begin() -> None:
    architecture = replace(upernet("tiny"), depths=(1, 1, 1, 1), dims=(8, 8, 8, 8), decoder_width=8)
    answer = random_model(architecture, 0)(torch.ones(1, 3, 32, 32))
    assert bool(torch.isfinite(answer).all())
    assert answer.shape == (1, 150, 32, 32)
