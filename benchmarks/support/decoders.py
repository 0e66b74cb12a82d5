"""Training of a decoder on a trained backbone, whose weights learn at a fraction of the decoder's rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from benchmarks.support.training import average_weights, averaged, channels_last, schedule
from convnext_edge.architecture import Architecture
from convnext_edge.network.convnext import ConvNeXt, random_model

NEW = ("decoder.", "map_norms.")  # names of tensors that a classifier does not have
EMA_DECAY = 0.99


def begin(architecture: Architecture, weights: Path) -> ConvNeXt:
    """Return an untrained decoder on a model's backbone, and on the norms of its maps where it has them."""
    model = random_model(architecture, 0)
    state = model.state_dict()
    known = {name: tensor.float() for name, tensor in load_file(weights).items() if name in state}
    known = {name: tensor for name, tensor in known.items() if not name.startswith("decoder.")}
    missing = model.load_state_dict(known, strict=False).missing_keys
    assert all(name.startswith(NEW) for name in missing), missing
    return channels_last(model)


class Chain:
    """What changes the weights of a model after each step, and their moving average, which is what counts."""

    def __init__(self, model: ConvNeXt, *, rate: float, backbone: float, steps: int) -> None:
        """Take the peak rate of the decoder, and that of the backbone as a share of it."""
        self.model = model
        named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
        groups = [
            {"params": [w for name, w in named if name.startswith(NEW)], "lr": rate},
            {"params": [w for name, w in named if not name.startswith(NEW)], "lr": rate * backbone},
        ]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.05)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda n: schedule(n, steps))
        self.average = average_weights(model, EMA_DECAY, buffers=True)

    @property
    def averaged(self) -> ConvNeXt:
        return averaged(self.average)

    def step(self, *, clip: float = float("inf")) -> None:
        """Change the weights by their gradients, whose norm is cut off at `clip`."""
        nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        self.average.update_parameters(self.model)

    def parts(self) -> dict[str, Any]:
        """What the next step depends on, by names."""
        return {
            "model": self.model,
            "average": self.average,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
        }

    def save(self, out: Path) -> None:
        """Write the averaged weights in half precision."""
        save_file({k: v.half().contiguous() for k, v in self.averaged.state_dict().items()}, out)
