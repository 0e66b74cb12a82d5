"""Round weights so that a layer's output, and not each weight, is close to the original's.

GPTQ (Frantar et al., 2022, arXiv:2210.17323) rounds one input column after the other and corrects what
is not rounded yet for the error made, by the second moments of the layer's input. It is done here from the
last column to the first, where it is Babai's nearest plane and needs no inverse (Chen et al., 2025,
arXiv:2507.18553). What error of the mean remains goes into the bias. Libraries' versions round for storage
in 4 bits; none bounds pairs of codes, without which INT8 saturates on CPUs that lack VNNI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor

from convnext_edge.network.layers import Layer
from convnext_edge.network.lowering import LoweredConvNeXt
from convnext_edge.progress import track
from convnext_edge.quantization.calibrate import InputStatistics, Moments, kernel_area
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.quantization.recording import side_by_side
from convnext_edge.quantization.scales import PAIR_LIMIT, weight_scale

DAMPING = 0.01  # of the mean second moment, added to the diagonal as in the paper
BLOCK = 64  # columns between two updates of all that follow

Item = TypeVar("Item")
Result = TypeVar("Result")


def round_weights(
    model: LoweredConvNeXt, statistics: Mapping[str, InputStatistics], recipe: Recipe
) -> tuple[LoweredConvNeXt, dict[str, Tensor]]:
    """Return `model` with rounded weights, and the weight scale (O,) of each layer in `statistics`.

    Where the recipe rounds to nearest, the model is returned as it is: that rounding is done where Q/DQ
    goes, as is that of depthwise convolutions.
    """
    to_nearest = recipe.rounding == "nearest"
    rounded = model if to_nearest else deepcopy(model)
    layers = rounded.layers()

    def scale_of(item: tuple[str, InputStatistics]) -> tuple[str, Tensor]:
        name, found = item
        layer = layers[name]
        if to_nearest or not found.moments:
            return name, weight_scale(layer.weight, recipe, depthwise=layer.depthwise)
        return name, round_layer(layer, found.moments, recipe)

    return rounded, dict(
        track(layer_by_layer(scale_of, statistics.items()), "rounding", total=len(statistics))
    )


def layer_by_layer(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map over layers, several at once on one thread each.

    Several threads for one layer would add its sums up in another order, and GPTQ hands each difference on
    from column to column: the bytes would depend on the number of threads.
    """
    return side_by_side(function, items, one_each=True)


def round_layer(layer: Layer, moments: Sequence[Moments], recipe: Recipe) -> Tensor:
    """Put the weight of a layer on its grid, and its mean error into the bias. Returns the scale (O,).

    moments: of pieces of its columns, in their order. Errors are corrected within a piece.
    """
    matrix = layer.weight_matrix
    scale = weight_scale(
        layer.weight, recipe, squares=torch.cat([piece.second.diagonal() for piece in moments])
    )
    exact, partners, codes = matrix / scale[:, None], pair_partners(layer, recipe), []
    start = 0
    for piece in moments:
        end = start + len(piece.total)
        own = [tuple(other - start for other in later) for later in partners[start:end]]
        codes.append(gptq(exact[:, start:end], piece, largest_code=recipe.largest_code, partners=own))
        start = end
    rounded = torch.cat(codes, dim=1) * scale[:, None]
    mean = torch.cat([piece.total / piece.count for piece in moments])
    layer.add_to_bias((matrix - rounded) @ mean)
    layer.set_weight_matrix(rounded)
    return scale


def copy_weights(source: LoweredConvNeXt, target: LoweredConvNeXt, names: Iterable[str]) -> LoweredConvNeXt:
    """Return a copy of `target` whose layers `names` have the weights and biases of `source`."""
    copy = deepcopy(target)
    givers, takers = source.layers(), copy.layers()
    for name in names:
        takers[name].module.load_state_dict(givers[name].module.state_dict())
    return copy


def gptq(weight: Tensor, moments: Moments, *, largest_code: int, partners: list[tuple[int, ...]]) -> Tensor:
    """Return codes (O, K) for `weight` (O, K), which is given in units of its scale.

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
            code = torch.round(aim[k]).clamp_(-largest_code, largest_code)
            for other in partners[k]:
                code.add_(codes[other]).clamp_(-PAIR_LIMIT, PAIR_LIMIT).sub_(codes[other])
            codes[k] = code
            aim[start:k].addr_(shares[k, start:k], exact[k] - code)
        aim[:start].addmm_(shares[start:end, :start].T, exact[start:end] - codes[start:end])
    return codes.T


def error_shares(moments: Moments) -> Tensor:
    """Return L_ij / L_jj (K, K) of the Cholesky factor of the damped second moments."""
    second = moments.second / moments.count  # normalized channels add up to zero: nearly singular
    second.diagonal().add_(DAMPING * second.diagonal().mean().clamp(min=1e-12))
    factor, failed = torch.linalg.cholesky_ex(second)
    if failed:
        factor = torch.linalg.cholesky(second.double()).float()
    shares: Tensor = factor.div_(factor.diagonal().clone())
    return shares


def pair_partners(layer: Layer, recipe: Recipe) -> list[tuple[int, ...]]:
    """Return, for each column of the weight matrix, the columns behind it that a kernel may pair it with.

    Neighbours along the row, and of a convolution neighbours along the input channels.
    """
    columns = layer.weight_matrix.shape[1]
    if not recipe.avoids_saturation:
        return [()] * columns
    area = kernel_area(layer)

    def partners(k: int) -> tuple[int, ...]:
        row = k + 1 if k % 2 == 0 else columns
        channel = k + area if area > 1 and k // area % 2 == 0 else columns
        return tuple(other for other in (row, channel) if other < columns)

    return [partners(k) for k in range(columns)]
