"""Scales of weights: the one place that computes them, for every method of quantization.

A weight w is stored as round(w / scale), with the codes -largest_code to largest_code and one scale for each
output channel. In all shapes here the output channels come first: (O, I / groups, kh, kw), or (O, K).
"""

from __future__ import annotations

import torch
from torch import Tensor

from convnext_edge.quantization.recipe import Recipe

SMALLEST_SCALE = 2.0**-30  # of weights that are all zero
PAIR_LIMIT = 128  # 255 * 128 < 2**15 <= 255 * 129: what two neighbouring weight codes may add up to
FRACTIONS = torch.linspace(1, 0.4, 31)  # of the scale that cuts nothing off: what is tried for few bits


def weight_scale(
    weight: Tensor, recipe: Recipe, *, depthwise: bool = False, squares: Tensor | None = None
) -> Tensor:
    """Return the scale of each output channel of `weight` (O, ...), as `recipe` asks for it, (O,).

    depthwise: such a kernel adds no neighbouring channels, so its pairs need no bound. squares: sum
    of squares of each input (K,); with it, scales of fewer than 8 bits may cut off weights.
    """
    scale = largest_weights(weight) / recipe.largest_code
    if recipe.avoids_saturation and not depthwise:
        scale = torch.maximum(scale, largest_pair_sums(weight) / PAIR_LIMIT)
    scale = scale.clamp(min=SMALLEST_SCALE)
    if squares is None or recipe.weight_bits == 8:
        return scale
    return shrink_scale(weight.flatten(1), scale, squares, recipe.largest_code)


def largest_weights(weight: Tensor) -> Tensor:
    """Return the largest |w| of each output channel of `weight` (O, ...), (O,)."""
    return weight.flatten(1).abs().amax(1)


def largest_pair_sums(weight: Tensor) -> Tensor:
    """Return the largest |w[2k] + w[2k+1]| of each output channel of `weight` (O, ...), (O,).

    Without VNNI, INT8 kernels multiply unsigned activations by signed weights and add neighbouring pairs
    along the input channels in 16 bits (`vpmaddubsw`). The scale

        max(max|w| / 127, max|w[2k] + w[2k+1]| / 128)

    keeps every such sum of codes within 128, and no CPU's 16-bit accumulation overflows; rounding half to
    even cannot lift the sum above. The scale is never coarser than one of 7 bits, and finer unless two
    neighbours both come near the maximum.

    Kernels that unroll a patch may also pair along the flattened row, so both are bounded.
    """
    along = weight.movedim(1, -1)  # (O, ..., I)
    sums = [row[..., 0:-1:2] + row[..., 1::2] for row in (along, weight.flatten(1)) if row.shape[-1] > 1]
    if not sums:
        return torch.zeros(len(weight))
    return torch.stack([s.flatten(1).abs().amax(1) for s in sums]).amax(0)


def shrink_scale(matrix: Tensor, scale: Tensor, squares: Tensor, largest_code: int) -> Tensor:
    """Return the fraction of `scale` (O,) with the least error of the output, were inputs uncorrelated.

    A finer grid for most weights of `matrix` (O, K) can be worth more than the few that it cuts off.
    squares: sum of squares of each input, (K,).
    """

    def error(candidate: Tensor) -> Tensor:
        codes = torch.round(matrix / candidate[:, None]).clamp(-largest_code, largest_code)
        return (matrix - codes * candidate[:, None]).square() @ squares

    errors = torch.stack([error(scale * fraction) for fraction in FRACTIONS])
    return scale * FRACTIONS[errors.argmin(0)]


def fake_quantize_weight(weight: Tensor, scale: Tensor, channel_axis: int, largest_code: int) -> Tensor:
    """Round `weight`, with its output channels along `channel_axis`, to the grid of `scale` (O,)."""
    zero_point = torch.zeros_like(scale, dtype=torch.int32)
    limits = (-largest_code, largest_code)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero_point, channel_axis, *limits)
