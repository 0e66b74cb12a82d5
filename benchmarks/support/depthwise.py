"""Depthwise convolutions that train faster on a CPU: the weight's gradient by matrix products.

oneDNN's takes 20 times as long as the convolution itself (bfloat16, maps of 2x2 to 16x16, batch 256; Zen 4).
The same sums as one product of input and gradient over the batch, of all pairs of pixels, take a ninth to a
half of that.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnext_edge.network.convnext import Block, ConvNeXt


class DepthwiseFunction(torch.autograd.Function):
    """`conv2d` of stride 1 with one channel a group and "same" padding."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        kernel = weight.shape[-1]
        # each pixel of x went to the pixels around it, by the kernel turned around
        to_x = F.conv2d(grad, weight.flip(2, 3), padding=kernel // 2, groups=len(weight))
        return to_x, weight_gradient(x, grad, kernel), grad.sum(dim=(0, 2, 3), dtype=torch.float32)


def weight_gradient(x: Tensor, grad: Tensor, kernel: int) -> Tensor:
    """Gradient (C, 1, k, k) of a depthwise layer's weight; x, grad: (N, C, H, W)."""
    count, channels, rows, columns = x.shape
    pad = kernel // 2
    # Transposed as a matrix first: PyTorch is fast at that, and slow at (N, H, W, C) -> (C, H, W, N).
    pixels = x.permute(0, 2, 3, 1).reshape(count, -1).t().reshape(rows, columns, channels, count)
    padded = F.pad(pixels.permute(2, 0, 1, 3), (0, 0, pad, pad, pad, pad)).reshape(channels, -1, count)
    grads = grad.permute(1, 0, 2, 3).reshape(channels, count, rows * columns)
    height, width = rows + 2 * pad, columns + 2 * pad
    pairs = torch.bmm(padded, grads).view(channels, height, width, rows, columns)
    of_channel, *step, down, right = pairs.stride()
    # [c, i, j, y, x] is the pair of the padded pixel (y + i, x + j) and the gradient at (y, x)
    near = torch.as_strided(
        pairs,
        (channels, kernel, kernel, rows, columns),
        (of_channel, *step, step[0] + down, step[1] + right),
    )
    return near.sum(dim=(3, 4), dtype=torch.float32).unsqueeze(1)


class Depthwise(nn.Conv2d):
    """A depthwise layer that trains by these."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = DepthwiseFunction.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return y


def with_fast_depthwise(model: ConvNeXt) -> ConvNeXt:
    """The same model, its depthwise layers of this kind; weights and their names stay."""
    for block in model.modules():
        if isinstance(block, Block):
            old = block.dwconv
            new = Depthwise(
                old.in_channels,
                old.out_channels,
                old.kernel_size[0],
                padding=old.kernel_size[0] // 2,
                groups=old.groups,
            )
            new.load_state_dict(old.state_dict())
            block.dwconv = new
    return model
