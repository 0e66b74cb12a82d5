"""Weights rounded so that a layer's output, and not each weight, is close to the original's.

GPTQ (Frantar et al., 2022, arXiv:2210.17323) rounds one input column after the other and corrects what
is not rounded yet for the error made, by the second moments of the layer's input. It is done here from the
last column to the first, where it is Babai's nearest plane and needs no inverse (Chen et al., 2025,
arXiv:2507.18553). What error of the mean remains goes into the bias. Libraries' versions round for storage
in 4 bits; none bounds pairs of codes, without which INT8 saturates on CPUs that lack VNNI.
"""

from __future__ import annotations

from collections.abc import Container

import torch
from torch import Tensor, nn

from convnext_edge.network.forms import MatMul
from convnext_edge.progress import track
from convnext_edge.quantization.calibrate import (
    InputStatistics,
    Moments,
    Multiplication,
    multiplications,
    weight_matrix,
)
from convnext_edge.quantization.observers import PAIR_LIMIT, SMALLEST_SCALE, pair_sums
from convnext_edge.quantization.recipe import Recipe

DAMPING = 0.01  # of the mean second moment, added to the diagonal as in the paper
BLOCK = 64  # columns between two updates of all that follow
SHRUNK = torch.linspace(1, 0.4, 31)  # of the scale that cuts nothing off: what is tried for few bits


def round_weights(
    module: nn.Module, statistics: dict[str, InputStatistics], recipe: Recipe
) -> dict[str, Tensor]:
    """Put the weights of the layers in `statistics` on their grids. Returns each layer's scale (out,).

    module: a lowered model, changed in place. Depthwise convolutions are left to the converter.
    """
    layers = multiplications(module)
    scales = {}
    for name, seen in track(statistics.items(), "rounding", total=len(statistics)):
        if seen.moments is not None:
            scales[name] = round_layer(layers[name], seen.moments, recipe)
    return scales


def round_layer(layer: Multiplication, moments: Moments, recipe: Recipe) -> Tensor:
    """Put one weight on its grid, and its mean error into the bias. Returns the scale (out,)."""
    matrix, scale = weight_matrix(layer), weight_scale(layer, moments, recipe)
    codes = gptq(matrix / scale[:, None], moments, largest=recipe.largest_code, partners=pairs(layer, recipe))
    rounded = codes * scale[:, None]
    add_to_bias(layer, (matrix - rounded) @ (moments.total / moments.count))
    set_weight_matrix(layer, rounded)
    return scale


def copy_weights(source: nn.Module, target: nn.Module, names: Container[str]) -> None:
    """Give the layers `names` of one lowered model the weights and biases of another of the same form."""
    givers, takers = multiplications(source), multiplications(target)
    for name, giver in givers.items():
        if name in names:
            takers[name].load_state_dict(giver.state_dict())


def gptq(weight: Tensor, moments: Moments, *, largest: int, partners: list[tuple[int, ...]]) -> Tensor:
    """Codes (O, K) for `weight` (O, K), which is given in units of its scale.

    From the last column to the first, each is rounded after it has taken over what the ones behind it
    left: with the second moments H = L L', column j aims at w_j + sum_i>j L_ij / L_jj (w_i - code_i).
    partners: for each column the later ones with which its code may not add up to more than PAIR_LIMIT.
    """
    shares = error_shares(moments)
    exact = weight.T.contiguous()  # (K, O): a column of the weight lies in one piece
    aim, codes = exact.clone(), torch.empty_like(exact)
    for end in range(len(exact), 0, -BLOCK):
        start = max(end - BLOCK, 0)
        for k in range(end - 1, start - 1, -1):
            code = torch.round(aim[k]).clamp_(-largest, largest)
            for other in partners[k]:
                code.add_(codes[other]).clamp_(-PAIR_LIMIT, PAIR_LIMIT).sub_(codes[other])
            codes[k] = code
            aim[start:k].addr_(shares[k, start:k], exact[k] - code)
        aim[:start].addmm_(shares[start:end, :start].T, exact[start:end] - codes[start:end])
    return codes.T


def error_shares(moments: Moments) -> Tensor:
    """L_ij / L_jj (K, K) of the Cholesky factor of the damped second moments."""
    second = moments.second / moments.count  # normalized channels add up to zero: nearly singular
    second.diagonal().add_(DAMPING * second.diagonal().mean().clamp(min=1e-12))
    factor, failed = torch.linalg.cholesky_ex(second)
    if failed:
        factor = torch.linalg.cholesky(second.double()).float()
    shares: Tensor = factor.div_(factor.diagonal().clone())
    return shares


def pairs(layer: Multiplication, recipe: Recipe) -> list[tuple[int, ...]]:
    """For each column of the weight matrix, the columns behind it that a kernel may pair it with.

    Neighbours along the row, and of a convolution neighbours along the input channels.
    """
    columns = weight_matrix(layer).shape[1]
    if not recipe.avoids_saturation:
        return [()] * columns
    area = layer.kernel_size[0] * layer.kernel_size[1] if isinstance(layer, nn.Conv2d) else 1
    row = [(k + 1,) if k % 2 == 0 and k + 1 < columns else () for k in range(columns)]
    channel = [
        (k + area,) if area > 1 and k // area % 2 == 0 and k + area < columns else () for k in range(columns)
    ]
    return [(*a, *b) for a, b in zip(row, channel, strict=True)]


def weight_scale(layer: Multiplication, moments: Moments, recipe: Recipe) -> Tensor:
    """Symmetric scale of each output channel, (O,): as the observers choose it, smaller for few bits."""
    scale = weight_matrix(layer).abs().amax(1) / recipe.largest_code
    if recipe.avoids_saturation:
        weight = layer.weight.data if isinstance(layer, nn.Conv2d) else layer.weight.data.T
        scale = torch.maximum(scale, pair_sums(weight, 0, 1) / PAIR_LIMIT)
    scale = scale.clamp(min=SMALLEST_SCALE)
    if recipe.weight_bits == 8:
        return scale
    return shrink(weight_matrix(layer), scale, moments.second.diagonal(), recipe.largest_code)


def shrink(weight: Tensor, scale: Tensor, energy: Tensor, largest: int) -> Tensor:
    """The fraction of `scale` (O,) with the least error of the output, were input channels uncorrelated.

    A finer grid for most weights (O, K) can be worth more than the few that it cuts off. energy (K,): of
    each input channel.
    """

    def error(candidate: Tensor) -> Tensor:
        codes = torch.round(weight / candidate[:, None]).clamp(-largest, largest)
        return (weight - codes * candidate[:, None]).square() @ energy

    errors = torch.stack([error(scale * fraction) for fraction in SHRUNK])
    return scale * SHRUNK[errors.argmin(0)]


def set_weight_matrix(layer: Multiplication, matrix: Tensor) -> None:
    layer.weight.data = matrix.T.contiguous() if isinstance(layer, MatMul) else matrix.view_as(layer.weight)


def add_to_bias(layer: Multiplication, correction: Tensor) -> None:
    assert layer.bias is not None  # of every layer of a lowered model
    layer.bias.data = layer.bias.data + correction
