"""Networks that papers hold ConvNeXt against, as transformers defines them, with random weights.

    PYTHON -m benchmarks.networks.others swin_t FOLDER

Run by an environment that has PyTorch and transformers (benchmarks/environments/transformers.txt), and
nothing of ours. Writes exported programs for one image of 224 x 224, and prints how many weights and
multiply-adds the network has. There are two programs of the same weights: for PyTorch with attention as the
library runs it, and for ONNX with attention written out, as PyTorch's exporter cannot take the former apart.
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


def swin_t(**options: str) -> nn.Module:
    """Swin-T (arXiv:2103.14030, table 7), which is what the configuration begins with."""
    from transformers import SwinConfig, SwinForImageClassification

    network: nn.Module = SwinForImageClassification(SwinConfig(num_labels=CLASSES, **options))
    return network


def deit_s(**options: str) -> nn.Module:
    """DeiT-S (arXiv:2012.12877, table 1), a ViT with patches of 16: its weights are published as such."""
    from transformers import ViTConfig, ViTForImageClassification

    small = {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}
    network: nn.Module = ViTForImageClassification(ViTConfig(num_labels=CLASSES, **small, **options))
    return network


NETWORKS: dict[str, Callable[..., nn.Module]] = {"swin_t": swin_t, "deit_s": deit_s}
PROGRAMS: dict[str, dict[str, str]] = {
    "program.pt2": {},
    "for_onnx.pt2": {"attn_implementation": "eager"},
}


def main(name: str, folder: Path) -> None:
    for file, options in PROGRAMS.items():
        torch.manual_seed(0)
        network = Logits(NETWORKS[name](**options)).eval()
        with torch.no_grad():
            program = torch.export.export(network, (torch.randn(1, 3, SIZE, SIZE),))
        torch.export.save(program, folder / file)
    print(json.dumps({"params": parameters(network), "macs": macs(network, SIZE)}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
