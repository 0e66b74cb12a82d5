"""The layers of UPerNet's decoder, and what follows from them; needs no PyTorch.

"Unified Perceptual Parsing for Scene Understanding" (Xiao et al., 2018, arXiv:1807.10221), as
mmsegmentation's UPerHead and transformers' UperNetHead have it. `network.upernet` is the module.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

USUAL_BINS = (1, 2, 3, 6)  # of the pyramid pooling, as in PSPNet (Zhao et al., 2017) and both libraries
CONTEXT = 3  # edge of the kernels that look around a pixel


class DecoderLayer(NamedTuple):
    """A convolution of the decoder; all but the classifier have a BatchNorm and a ReLU behind."""

    name: str
    kernel: int  # edge
    before: int  # channels that it takes
    dim: int  # channels that it gives
    stage: int  # whose map has the size of its output
    bins: int = 0  # edge of its output, where that is pooled


def decoder_layers(
    dims: tuple[int, ...], width: int, bins: tuple[int, ...], classes: int
) -> Iterator[DecoderLayer]:
    """Yield the convolutions in the order in which they run.

    dims: channels of each map. width: channels of the decoder. bins: edges of the pooled maps.
    """
    last = len(dims) - 1
    for stage, dim in enumerate(dims[:-1]):
        yield DecoderLayer(f"laterals.{stage}", 1, dim, width, stage)
    for number, edge in enumerate(bins):
        yield DecoderLayer(f"pyramid.{number}", 1, dims[-1], width, last, edge)
    yield DecoderLayer("bottleneck", CONTEXT, dims[-1] + len(bins) * width, width, last)
    for stage in range(last):
        yield DecoderLayer(f"fpn.{stage}", CONTEXT, width, width, stage)
    yield DecoderLayer("fpn_bottleneck", CONTEXT, len(dims) * width, width, 0)
    yield DecoderLayer("classifier", 1, width, classes, 0)
