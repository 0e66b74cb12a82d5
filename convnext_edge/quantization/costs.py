"""What quantizing each layer alone costs: all others stay float, so that no error hides another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convnext_edge.progress import track
from convnext_edge.quantization.job import Job
from convnext_edge.quantization.ptq import Calibrated
from convnext_edge.quantization.quantizer import ActivationRange, activation_codes
from convnext_edge.quantization.statistics import Multiplication, multiplications
from convnext_edge.recipe import Recipe


@dataclass(frozen=True)
class Cost:
    """Of one layer. sqnr_db: of the logits, None where they do not change. kl: mean divergence of the
    answers (softmax) from the float model's, in nats.
    """

    name: str
    sqnr_db: float | None
    kl: float


def layer_costs(job: Job, calibrated: Calibrated, *, images: int | None = None) -> list[Cost]:
    """The cost of each quantized layer on the calibration images (at most `images`), worst first.

    One forward pass a layer over the whole model: exact, and in time linear in the number of layers.
    """
    batches = [torch.from_numpy(batch) for batch in job.batches("reading", limit=images)]
    module = deepcopy(calibrated.smoothed)
    layers, ranges = multiplications(module), calibrated.ranges
    rounded = rounded_weights(calibrated)
    exact = answers(module, batches)
    names = calibrated.quantized_layers
    costs = []
    for name in track(names, "quantizing one layer at a time", total=len(names)):
        with quantized(layers[name], rounded[name], input_grid(job.recipe.at(name), ranges.get(name))):
            costs.append(cost(name, exact, answers(module, batches)))
    return sorted(costs, key=lambda found: -found.kl)


def rounded_weights(calibrated: Calibrated) -> dict[str, dict[str, Tensor]]:
    """State of each layer as it will run: what rounding left, on the grid that the converter will use."""
    found = {}
    for name, layer in multiplications(calibrated.rounded).items():
        state = {key: value.clone() for key, value in layer.state_dict().items()}
        if name in calibrated.quantized_layers:
            state["weight"] = calibrated.on_grid(name, state["weight"])
        found[name] = state
    return found


Grid = Callable[[Tensor], Tensor]


def input_grid(recipe: Recipe, known: ActivationRange | None) -> Grid:
    """Puts the input of a layer on its grid; known: None where it stays as it is."""
    if known is None:
        return lambda x: x
    codes = activation_codes(recipe)
    limits = codes["quant_min"], codes["quant_max"]
    return lambda x: torch.fake_quantize_per_tensor_affine(x, known.scale, known.zero_point, *limits)


@contextmanager
def quantized(layer: Multiplication, state: dict[str, Tensor], grid: Grid) -> Iterator[None]:
    """The layer with its weight and input on their grids, for a while."""
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    handle = layer.register_forward_pre_hook(lambda _layer, inputs: grid(inputs[0]))
    layer.load_state_dict(state)
    try:
        yield
    finally:
        layer.load_state_dict(before)
        handle.remove()


def answers(module: nn.Module, batches: Iterable[Tensor]) -> Tensor:
    """Logits (N, classes)."""
    with torch.inference_mode():
        return torch.cat([module(batch) for batch in batches])


def cost(name: str, exact: Tensor, found: Tensor) -> Cost:
    noise = float((found - exact).double().square().sum())
    signal = float(exact.double().square().sum())
    p, q = exact.double().log_softmax(1), found.double().log_softmax(1)
    kl = float((p.exp() * (p - q)).sum(1).mean())
    return Cost(name, 10 * math.log10(signal / noise) if noise else None, max(kl, 0.0))
