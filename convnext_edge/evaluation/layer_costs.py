"""What quantizing each layer alone costs: all others stay float, so that no error hides another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from convnext_edge.evaluation.metrics import decibels
from convnext_edge.network.exporter import running
from convnext_edge.network.forms import Multiplication
from convnext_edge.network.layers import Layer
from convnext_edge.network.lowering import LoweredConvNeXt
from convnext_edge.network.mask_rcnn import Boxes, MaskRCNN
from convnext_edge.network.upernet import size_of
from convnext_edge.progress import track
from convnext_edge.quantization.job import Job
from convnext_edge.quantization.observers import ActivationRange, activation_codes
from convnext_edge.quantization.ptq import Calibrated
from convnext_edge.quantization.recipe import Recipe
from convnext_edge.quantization.scales import fake_quantize_weight

TINY = 1e-300  # instead of dividing by zero
Answers = dict[int, Tensor]  # each output (N, ...), by the number of the part that makes it


@dataclass(frozen=True)
class Cost:
    """What quantizing one layer alone costs."""

    name: str  # of the layer
    sqnr_db: float | None  # of the worst output; None where none changes
    # Mean divergence of a classifier's answers (softmax) from the float model's, in nats; of other tasks the
    # noise of the worst output over its signal.
    kl: float


def layer_costs(job: Job, calibrated: Calibrated, *, images: int | None = None) -> list[Cost]:
    """Measure the cost of each quantized layer on the calibration images (at most `images`), worst first.

    Exact: for each layer the model runs anew, from the part that holds it on. On average that is half of it.
    """
    module, names = deepcopy(calibrated.smoothed), calibrated.quantized_layers
    layers, rounded = module.layers(), rounded_weights(job.recipe, calibrated)
    batches = [torch.from_numpy(batch) for batch in job.batches("reading", limit=images)]
    exact: list[Answers] = []
    found: dict[str, list[Answers]] = {name: [] for name in names}

    def steps() -> Iterator[tuple[str, PartwiseRun]]:
        for batch in batches:
            chain = PartwiseRun(module, batch)
            exact.append(chain.answers)
            yield from ((name, chain) for name in names)

    total = len(names) * len(batches)
    with torch.inference_mode():
        for name, chain in track(steps(), "quantizing one layer at a time", total=total):
            # bytes are on their grid
            known = None if layers[name].reads_bytes else calibrated.ranges.get(name)
            rounding = make_input_rounding(job.recipe.at(name), known)
            with quantized(layers[name].module, rounded[name], rounding):
                found[name].append(chain.rerun(layers[name]))
    wanted, classifies = whole(exact), job.source.task == "classify"
    costs = [cost(name, wanted, whole(answers), classifies=classifies) for name, answers in found.items()]
    return sorted(costs, key=lambda found: -found.kl)


class PartwiseRun:
    """One batch on its way through a model, with the input of each part of the model."""

    def __init__(self, module: LoweredConvNeXt, batch: Tensor) -> None:
        self.parts, self.decoder = module.parts(), module.decoder
        self.inputs: list[Tensor] = []
        self.outputs: Answers = {}  # of the parts
        self.size = size_of(batch)
        self.looked_at: Boxes | None = None  # by the heads of a detector, in the exact model
        x = batch
        for number, part in enumerate(self.parts):
            self.inputs.append(x)
            with running():
                x = part.run(x)
                if part.output is not None:
                    self.outputs[number] = part.output(x)
        self.answers = self._decoded(self.outputs)

    def rerun(self, layer: Layer) -> Answers:
        """Return the outputs of the model after a change of `layer` alone."""
        if layer.kind == "decoder":
            return self._decoded(self.outputs)
        names = [[held.name for held in part.layers] for part in self.parts]
        start = next(number for number, held in enumerate(names) if layer.name in held)
        x, outputs = self.inputs[start], dict(self.outputs)
        for number, part in enumerate(self.parts[start:], start):
            with running():
                x = part.run(x)
                if part.output is not None:
                    outputs[number] = part.output(x)
        return self._decoded(outputs)

    def _decoded(self, outputs: Answers) -> Answers:
        """Return what a decoder makes of the maps, which else are the answers themselves.

        A detector answers with what its layers tell of the boxes that the exact model looks at.
        """
        if self.decoder is None:
            return outputs
        maps, number = list(outputs.values()), len(self.parts)
        with running():
            if isinstance(self.decoder, MaskRCNN):
                found, self.looked_at = self.decoder.dense(maps, self.size, self.looked_at)
                return dict(enumerate(found, number))
            return {number: self.decoder(maps, self.size)}


def whole(batches: list[Answers]) -> Answers:
    """Return the outputs of all batches together."""
    return {number: torch.cat([answers[number] for answers in batches]) for number in batches[0]}


def rounded_weights(recipe: Recipe, calibrated: Calibrated) -> dict[str, dict[str, Tensor]]:
    """Return the state of each quantized layer as it will run: rounded, and on the grid that Q/DQ uses."""
    layers, found = calibrated.rounded.layers(), {}
    for name in calibrated.quantized_layers:
        layer, scale = layers[name], calibrated.weight_scales[name]
        state = {key: value.clone() for key, value in layer.module.state_dict().items()}
        on_grid = fake_quantize_weight(state["weight"], scale, layer.channel_axis, recipe.largest_code)
        found[name] = state | {"weight": on_grid}
    return found


Rounding = Callable[[Tensor], Tensor]


def make_input_rounding(recipe: Recipe, known: ActivationRange | None) -> Rounding:
    """Return what puts an input on the grid of its range; with None, the input stays as it is."""
    if known is None:
        return lambda x: x
    codes = activation_codes(recipe)
    limits = codes["quant_min"], codes["quant_max"]
    return lambda x: torch.fake_quantize_per_tensor_affine(x, known.scale, known.zero_point, *limits)


@contextmanager
def quantized(module: Multiplication, state: dict[str, Tensor], rounding: Rounding) -> Iterator[None]:
    """Put the weight and the input of a layer on their grids, for a while."""
    before = {key: value.clone() for key, value in module.state_dict().items()}
    handle = module.register_forward_pre_hook(lambda _module, inputs: rounding(inputs[0]))
    module.load_state_dict(state)
    try:
        yield
    finally:
        module.load_state_dict(before)
        handle.remove()


def cost(name: str, exact: Answers, found: Answers, *, classifies: bool) -> Cost:
    """Compare the outputs of a model with one quantized layer to the exact ones."""
    powers = [
        (float(exact[key].double().square().sum()), float((found[key] - exact[key]).double().square().sum()))
        for key in exact
    ]
    signal, noise = max(powers, key=lambda power: power[1] / max(power[0], TINY))
    if not classifies:
        return Cost(name, decibels(signal, noise), noise / max(signal, TINY))
    ((logits, others),) = zip(exact.values(), found.values(), strict=True)
    p, q = logits.double().log_softmax(1), others.double().log_softmax(1)
    kl = float((p.exp() * (p - q)).sum(1).mean())
    return Cost(name, decibels(signal, noise), max(kl, 0.0))
