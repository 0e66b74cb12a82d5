"""The operator Resize, as far as our graphs have it: by bilinear interpolation, to sizes."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from convnext_edge.targets.simulation.shapes import Value

# What `resize` takes, by attribute, where the node says it at all.
RESIZING = {
    "antialias": 0,
    "axes": [2, 3],
    "exclude_outside": 0,
    "coordinate_transformation_mode": "half_pixel",
}


def resize(
    x: Tensor, roi: Value | None = None, scales: Value | None = None, sizes: Value | None = None, **how: Any
) -> Tensor:
    """Return (N, C, H, W) in another size, by bilinear interpolation with pixels as areas."""
    wrong = {key: how[key] for key, usual in RESIZING.items() if how.get(key, usual) != usual}
    if wrong or how.get("mode") != "linear":
        raise NotImplementedError(f"{wrong or 'mode'}")
    if sizes is None or scales is not None or roi is not None:
        raise NotImplementedError("another size than by sizes")
    return F.interpolate(x, size=[int(edge) for edge in sizes][-2:], mode="bilinear", align_corners=False)
