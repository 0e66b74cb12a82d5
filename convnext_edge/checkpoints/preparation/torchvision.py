"""The preparation of torchvision's published ConvNeXt weights.

Source: `ConvNeXt_*_Weights` (torchvision/models/convnext.py) and `ImageClassification`
(torchvision/transforms/_presets.py). It shows in none of their tensors.
"""

from __future__ import annotations

from convnext_edge.images.preprocessing import Preprocessing

RESIZED = {"tiny": 236, "small": 230, "base": 232, "large": 232}  # pixels of the shorter edge
USUAL = 256  # of `ImageClassification`, where nothing else is said
CROPPED = 224


def of_size(size: str | None) -> Preprocessing:
    """Return what the weights of a size are evaluated with; of none that is published, the usual."""
    edge = RESIZED.get(size or "", USUAL)
    return Preprocessing(CROPPED, CROPPED / edge, "bilinear", resize=edge)
