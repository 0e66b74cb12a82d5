"""Networks that papers hold ConvNeXt against, as transformers defines them, with random weights.

    PYTHON -m benchmarks.networks.others swin_t FILE.pt2

Run by an environment that has PyTorch and transformers (benchmarks/environments/transformers.txt), and
nothing of ours. Writes an exported program for one image of 224 x 224, and prints how many weights and
multiply-adds it has.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.networks.counts import macs, parameters

CLASSES, SIZE = 1000, 224


class Logits(nn.Module):
    """A model of transformers that gives the tensor alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.model(image).logits
        return logits


def swin_t() -> nn.Module:
    """Swin-T (arXiv:2103.14030, table 7), which is what the configuration begins with."""
    from transformers import SwinConfig, SwinForImageClassification

    return SwinForImageClassification(SwinConfig(num_labels=CLASSES))


def deit_s() -> nn.Module:
    """DeiT-S (arXiv:2012.12877, table 1), a ViT with patches of 16: its weights are published as such."""
    from transformers import ViTConfig, ViTForImageClassification

    small = {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}
    return ViTForImageClassification(ViTConfig(num_labels=CLASSES, **small))


NETWORKS: dict[str, Callable[[], nn.Module]] = {"swin_t": swin_t, "deit_s": deit_s}


def main(name: str, path: Path) -> None:
    torch.manual_seed(0)
    network = Logits(NETWORKS[name]()).eval()
    example = torch.randn(1, 3, SIZE, SIZE)
    with torch.no_grad():
        torch.export.save(torch.export.export(network, (example,)), path)
    print(json.dumps({"params": parameters(network), "macs": macs(network, SIZE)}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
