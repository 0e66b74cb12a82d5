"""Weights rounded so that a layer's output, and not each weight, is close to the original's.

GPTQ (Frantar et al., 2022, arXiv:2210.17323) rounds one input column after the other and corrects what
is not rounded yet for the error made, by the second moments of the layer's input. What error of the mean
remains goes into the bias. Libraries' versions round for storage in 4 bits; none bounds pairs of codes,
without which INT8 saturates on CPUs that lack VNNI.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnext_edge.model.forms import MatMul
from convnext_edge.quantization.observers import PAIR_LIMIT, SMALLEST_SCALE, pair_sums
from convnext_edge.quantization.quantizer import is_quantized, reference_name
from convnext_edge.recipe import Recipe

ROWS = 64  # positions taken of each image and layer: more change nothing, fewer leave the moments singular
DAMPING = 0.01  # of the mean second moment, added to the diagonal as in the paper
BLOCK = 128  # columns between two updates of all that follow


@dataclass
class Moments:
    """Of a layer's input rows (K,): how many, their sum, and the sum of their outer products (K, K)."""

    count: int
    total: Tensor
    second: Tensor

    def add(self, rows: Tensor) -> None:
        self.count += len(rows)
        self.total += rows.sum(0)
        self.second += rows.T @ rows


def round_weights(
    module: nn.Module, batches: Iterable[Tensor], recipe: Recipe, *, raw_bytes: bool
) -> dict[str, Tensor]:
    """Put the weights that `recipe` quantizes on their grids, in place. Returns each layer's scale (out,).

    module: a lowered model. batches: its inputs, (N, 3, H, W); raw_bytes: of uint8.
    """
    chosen = dict(quantized_layers(module, recipe, raw_bytes=raw_bytes))
    moments = observe(module, chosen, batches)
    scales = {}
    for name, layer in chosen.items():
        matrix = weight_matrix(layer)
        scales[name] = scale = weight_scale(layer, recipe)
        codes = gptq(matrix, moments[name], scale, largest=recipe.largest_code, partners=pairs(layer, recipe))
        rounded = codes * scale[:, None]
        add_to_bias(layer, (matrix - rounded) @ (moments[name].total / moments[name].count))
        set_weight_matrix(layer, rounded)
    return scales


def quantized_layers(
    module: nn.Module, recipe: Recipe, *, raw_bytes: bool
) -> Iterator[tuple[str, nn.Conv2d | MatMul]]:
    """Name and layer of each multiplication that adds up channels and is to be quantized."""
    for path, layer in module.named_modules():
        if isinstance(layer, MatMul) or (isinstance(layer, nn.Conv2d) and layer.groups == 1):
            name = reference_name(path)
            if is_quantized(recipe, name, depthwise=False, raw_bytes=raw_bytes and name == "stem"):
                yield name, layer


def copy_weights(source: nn.Module, target: nn.Module, names: Container[str]) -> None:
    """Give the layers `names` of one lowered model the weights and biases of another of the same form."""
    for (path, giver), taker in zip(source.named_modules(), target.modules(), strict=True):
        if isinstance(giver, MatMul | nn.Conv2d) and reference_name(path) in names:
            taker.load_state_dict(giver.state_dict())


def observe(
    module: nn.Module, layers: dict[str, nn.Conv2d | MatMul], batches: Iterable[Tensor]
) -> dict[str, Moments]:
    """Moments of each layer's input in float, from one pass."""
    found: dict[str, Moments] = {}
    generator = torch.Generator().manual_seed(0)

    def watch(name: str, layer: nn.Conv2d | MatMul) -> None:
        size = weight_matrix(layer).shape[1]
        found[name] = Moments(0, torch.zeros(size), torch.zeros(size, size))

        def hook(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            rows = input_rows(layer, inputs[0])
            wanted = min(len(rows), ROWS * len(inputs[0]))
            found[name].add(rows[torch.randperm(len(rows), generator=generator)[:wanted]])

        handles.append(layer.register_forward_pre_hook(hook))

    handles: list[torch.utils.hooks.RemovableHandle] = []
    for name, layer in layers.items():
        watch(name, layer)
    with torch.inference_mode():
        for images in batches:
            module(images)
    for handle in handles:
        handle.remove()
    return found


def gptq(
    weight: Tensor, moments: Moments, scale: Tensor, *, largest: int, partners: list[tuple[int, ...]]
) -> Tensor:
    """Codes (O, K) for `weight` (O, K) on the grid of `scale` (O,).

    partners: for each column the earlier ones with which its code may not add up to more than PAIR_LIMIT.
    """
    factor = inverse_factor(moments)
    remaining, codes = weight.clone(), torch.zeros_like(weight)
    columns = weight.shape[1]
    for start in range(0, columns, BLOCK):
        end = min(start + BLOCK, columns)
        errors = torch.zeros(len(weight), end - start)
        for k in range(start, end):
            code = torch.round(remaining[:, k] / scale).clamp(-largest, largest)
            for other in partners[k]:
                code = torch.clamp(code, -PAIR_LIMIT - codes[:, other], PAIR_LIMIT - codes[:, other])
            codes[:, k] = code
            errors[:, k - start] = (remaining[:, k] - code * scale) / factor[k, k]
            remaining[:, k + 1 : end] -= errors[:, k - start, None] * factor[k, k + 1 : end]
        remaining[:, end:] -= errors @ factor[start:end, end:]
    return codes


def inverse_factor(moments: Moments) -> Tensor:
    """Upper Cholesky factor (K, K) of the inverse of the damped second moments."""
    second = moments.second.double() / moments.count  # normalized channels add up to zero: nearly singular
    second.diagonal().add_(DAMPING * second.diagonal().mean().clamp(min=1e-12))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(second))
    factor: Tensor = torch.linalg.cholesky(inverse, upper=True)
    return factor.float()


def pairs(layer: nn.Conv2d | MatMul, recipe: Recipe) -> list[tuple[int, ...]]:
    """For each column of the weight matrix, the columns before it that a kernel may pair it with.

    Neighbours along the row, and of a convolution neighbours along the input channels.
    """
    columns = weight_matrix(layer).shape[1]
    if not recipe.avoids_saturation:
        return [()] * columns
    area = layer.kernel_size[0] * layer.kernel_size[1] if isinstance(layer, nn.Conv2d) else 1
    row = [(k - 1,) if k % 2 else () for k in range(columns)]
    channel = [(k - area,) if area > 1 and k // area % 2 else () for k in range(columns)]
    return [(*a, *b) for a, b in zip(row, channel, strict=True)]


def weight_scale(layer: nn.Conv2d | MatMul, recipe: Recipe) -> Tensor:
    """Symmetric scale of each output channel, (O,), as the observers would choose it."""
    scale = weight_matrix(layer).abs().amax(1) / recipe.largest_code
    if recipe.avoids_saturation:
        weight = layer.weight.data if isinstance(layer, nn.Conv2d) else layer.weight.data.T
        scale = torch.maximum(scale, pair_sums(weight, 0, 1) / PAIR_LIMIT)
    return scale.clamp(min=SMALLEST_SCALE)


def weight_matrix(layer: nn.Conv2d | MatMul) -> Tensor:
    """(O, K)."""
    return layer.weight.data.T if isinstance(layer, MatMul) else layer.weight.data.flatten(1)


def set_weight_matrix(layer: nn.Conv2d | MatMul, matrix: Tensor) -> None:
    layer.weight.data = matrix.T.contiguous() if isinstance(layer, MatMul) else matrix.view_as(layer.weight)


def add_to_bias(layer: nn.Conv2d | MatMul, correction: Tensor) -> None:
    assert layer.bias is not None  # of every layer of a lowered model
    layer.bias.data = layer.bias.data + correction


def input_rows(layer: nn.Conv2d | MatMul, x: Tensor) -> Tensor:
    """What the weight matrix is multiplied by, (rows, K)."""
    if isinstance(layer, MatMul):
        return x.reshape(-1, x.shape[-1])
    if layer.kernel_size == (1, 1):
        return x.movedim(1, -1).flatten(0, 2)
    return F.unfold(x, layer.kernel_size, stride=layer.stride).movedim(1, -1).flatten(0, 1)
