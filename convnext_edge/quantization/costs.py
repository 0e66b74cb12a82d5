"""What quantizing each layer alone costs: all others stay float, so that no error hides another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from convnext_edge.network.lowering import LoweredConvNeXt
from convnext_edge.progress import track
from convnext_edge.quantization.calibrate import Multiplication, multiplications
from convnext_edge.quantization.insert_qdq import ActivationRange, activation_codes
from convnext_edge.quantization.job import Job
from convnext_edge.quantization.ptq import Calibrated
from convnext_edge.quantization.recipe import Recipe


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

    Exact: for each layer the model runs anew, from the part that holds it on. On average that is half of it.
    """
    module, names = deepcopy(calibrated.smoothed), calibrated.quantized_layers
    assert isinstance(module, LoweredConvNeXt)  # Q/DQ has a place in no other
    layers, rounded = multiplications(module), rounded_weights(calibrated)
    batches = [torch.from_numpy(batch) for batch in job.batches("reading", limit=images)]
    exact: list[Tensor] = []
    found: dict[str, list[Tensor]] = {name: [] for name in names}

    def steps() -> Iterator[tuple[str, Chain]]:
        for batch in batches:
            chain = Chain(module, batch)
            exact.append(chain.logits)
            yield from ((name, chain) for name in names)

    total = len(names) * len(batches)
    with torch.inference_mode():
        for name, chain in track(steps(), "quantizing one layer at a time", total=total):
            is_code = name == "stem" and job.input_type == "uint8"  # bytes are on their grid
            known = None if is_code else calibrated.ranges.get(name)
            with quantized(layers[name], rounded[name], input_grid(job.recipe.at(name), known)):
                found[name].append(chain.again(name))
    costs = [cost(name, torch.cat(exact), torch.cat(logits)) for name, logits in found.items()]
    return sorted(costs, key=lambda found: -found.kl)


class Chain:
    """One batch on its way through a model, with what each part of the model was given.

    logits: (N, classes).
    """

    def __init__(self, module: LoweredConvNeXt, batch: Tensor) -> None:
        self.parts = list(module.parts())
        self.inputs: list[Tensor] = []
        x = batch
        for _, part in self.parts:
            self.inputs.append(x)
            x = part(x)
        self.logits = x

    def again(self, layer: str) -> Tensor:
        """The logits after a change of that layer alone."""
        start = next(n for n, (name, _) in enumerate(self.parts) if f"{layer}.".startswith(f"{name}."))
        x = self.inputs[start]
        for _, part in self.parts[start:]:
            x = part(x)
        return x


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


def cost(name: str, exact: Tensor, found: Tensor) -> Cost:
    noise = float((found - exact).double().square().sum())
    signal = float(exact.double().square().sum())
    p, q = exact.double().log_softmax(1), found.double().log_softmax(1)
    kl = float((p.exp() * (p - q)).sum(1).mean())
    return Cost(name, 10 * math.log10(signal / noise) if noise else None, max(kl, 0.0))
