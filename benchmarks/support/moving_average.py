"""The rival of learned ranges in `finetune.py`: moving averages of each activation's minimum and maximum."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torchao.quantization.pt2e import FakeQuantize, MovingAverageMinMaxObserver
from torchao.quantization.pt2e.quantizer import QuantizationSpec

from convnext_edge.quantization import fake
from convnext_edge.quantization.observers import ActivationRange, activation_codes
from convnext_edge.quantization.recipe import Recipe


class MovingAverageFakeQuantize(FakeQuantize):  # type: ignore[misc]
    """torchao's, from the range that PTQ found on. It goes with what is trained on, and nothing else."""

    def __init__(self, *, start: ActivationRange, **codes: Any) -> None:
        super().__init__(observer=MovingAverageMinMaxObserver, **codes)
        low, high = ((code - start.zero_point) * start.scale for code in (self.quant_min, self.quant_max))
        self.activation_post_process.min_val = torch.tensor(low)
        self.activation_post_process.max_val = torch.tensor(high)

    def forward(self, x: Tensor) -> Tensor:
        self.observer_enabled[0] = int(torch.is_grad_enabled())
        faked: Tensor = super().forward(x)
        return faked


def moving_average_spec(recipe: Recipe, start: ActivationRange) -> QuantizationSpec:
    """Return the spec of an activation whose range is a moving average from `start` on."""
    ctr = MovingAverageFakeQuantize.with_args(start=start)
    return QuantizationSpec(**activation_codes(recipe), observer_or_fake_quant_ctr=ctr)


@contextmanager
def moving_averages() -> Iterator[None]:
    """Inside, `finetune` trains with these ranges."""
    with patch.object(fake, "learned_activation_spec", moving_average_spec):
        yield
