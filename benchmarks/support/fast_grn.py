"""GRN that trains faster on a CPU: in bfloat16, but for its sums."""

from __future__ import annotations

import torch
from torch import Tensor

from convnext_edge.network.convnext import ConvNeXt
from convnext_edge.network.norms import GRN, GRN_EPS


class FastGRN(GRN):
    """x (1 + weight relative) + bias: two passes over (N, H, W, C), where the reference has four."""

    def forward(self, x: Tensor) -> Tensor:
        norms = x.square().sum(dim=(1, 2), keepdim=True, dtype=torch.float32).clamp_min(1e-12).sqrt()
        relative = norms / (norms.mean(dim=-1, keepdim=True) + GRN_EPS)  # (N, 1, 1, C)
        scale = (1 + self.weight * relative).to(x.dtype)
        return torch.addcmul(self.bias.to(x.dtype), x, scale)


def with_fast_grn(model: ConvNeXt) -> ConvNeXt:
    """The same model, its GRN of this kind; weights and their names stay."""
    for module in model.modules():
        if isinstance(module, GRN):
            module.__class__ = FastGRN
    return model
