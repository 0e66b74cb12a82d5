"""The networks between ResNet-50 and ConvNeXt-T are those of the paper."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmarks.networks.counts import macs, parameters
from benchmarks.networks.roadmap import EXPLAINED, STEPS, Network, Step, before, fold_norms
from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.sizes import SIZES
from convnext_edge.network.convnext import random_model
from convnext_edge.network.norms import Norm

LAST = "separate downsampling"
# GFLOPs of table 10 of arXiv:2201.03545, as printed there, from top to bottom.
PAPER = (4.09, 4.53, 4.42, 2.35, 5.27, 4.64, 4.07, 4.10, 4.15, 4.21, 4.29, 4.15, 4.15, 4.15, 4.46, 4.49)


def shapes(step: Step) -> Network:
    """The network of a step, without values."""
    with torch.device("meta"):
        return Network(step)


def small(name: str) -> Step:
    return replace(STEPS[name], depths=(1, 1, 2, 1), width=8)


def kinds(name: str) -> Counter[str]:
    """How many modules of each kind are in the blocks of a network, its shortcuts left out."""
    branches = [module.branch for module in shapes(STEPS[name]).modules() if hasattr(module, "branch")]
    return Counter(type(module).__name__ for branch in branches for module in branch)


def test_the_steps_are_those_of_the_table() -> None:
    assert tuple(step.gflops for step in STEPS.values()) == PAPER


@pytest.mark.parametrize("name", STEPS)
def test_the_multiply_adds_are_those_of_the_paper(name: str) -> None:
    found = macs(shapes(STEPS[name])) / 1e9
    if name in EXPLAINED:  # the step before changed no convolution, so that the count is its own
        assert found == pytest.approx(macs(shapes(before(STEPS[name]))) / 1e9)
    else:
        assert found == pytest.approx(STEPS[name].gflops, rel=0.01)


def test_the_first_network_has_the_weights_of_torchvisions_resnet50() -> None:
    assert parameters(shapes(STEPS["ResNet-50"])) == 25_557_032  # as its documentation tells


def test_the_last_network_is_convnext_t() -> None:
    layer_scales = sum(depth * dim for depth, dim in zip((3, 3, 9, 3), (96, 192, 384, 768), strict=True))
    found = shapes(STEPS[LAST])
    assert parameters(found) == SIZES["tiny"].params - layer_scales
    # the architecture counts the last norm's weights, too
    assert macs(found) == SIZES["tiny"].macs(224) - 768


def test_the_last_network_answers_as_convnext_with_its_weights() -> None:
    architecture = Architecture((1, 1, 2, 1), (8, 16, 32, 64), classes=10, layer_scale=False)
    reference = random_model(architecture, seed=0)
    network = Network(small(LAST), classes=10).eval()
    weights = zip(network.state_dict(), reference.state_dict().values(), strict=True)  # in the same order
    network.load_state_dict(dict(weights))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(network(images), reference(images))


def test_a_step_that_was_not_kept_starts_nothing() -> None:
    assert before(STEPS["ReLU to GELU"]) is STEPS["kernel 7"]
    assert before(STEPS["kernel 11"]) is STEPS["kernel 7"]
    assert sum(step.kept for step in STEPS.values()) == 1 + 12  # the figure's steps, and where they begin


def test_activations_and_norms_go_where_the_paper_takes_them() -> None:
    blocks = sum(STEPS[LAST].depths)
    assert (kinds("kernel 7")["ReLU"], kinds("kernel 7")["BatchNorm2d"]) == (2 * blocks, 3 * blocks)
    assert kinds("ReLU to GELU")["GELU"] == 2 * blocks
    assert (kinds("fewer activations")["GELU"], kinds("fewer norms")["BatchNorm2d"]) == (blocks, blocks)
    assert (kinds("BN to LN")["Norm"], kinds("BN to LN")["BatchNorm2d"]) == (blocks, 0)
    around = [module for module in shapes(STEPS[LAST]).modules() if isinstance(module, Norm)]
    assert (
        len(around) == blocks + 1 + 3 + 1
    )  # behind the stem, before each downsampling layer, behind the mean


@pytest.mark.parametrize("name", ["ResNet-50", "depthwise moved up", "fewer norms"])
def test_folding_batch_norms_changes_no_answer(name: str) -> None:
    torch.manual_seed(0)
    network = Network(small(name)).eval()
    for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    folded = fold_norms(network)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(folded(images), network(images), atol=1e-5, rtol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
