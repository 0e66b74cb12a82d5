"""What each ONNX operator computes, in PyTorch: one function an operator, all in the table `OPERATORS`.

A function takes the operator's inputs in order (None where an optional one is left out) and its
attributes by name. Axes may come either way, since newer opsets made inputs of what were attributes.
What it refuses it refuses with a TypeError, ValueError or NotImplementedError that says why.

Source: the ONNX operator specification, https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
from onnx import TensorProto
from torch import Tensor
from torch.nn import functional as F

from convnext_edge.targets.simulation.resizing import resize
from convnext_edge.targets.simulation.shapes import (
    Axes,
    Sizes,
    V,
    Value,
    concat,
    expand,
    flatten,
    gather,
    reshape,
    shape,
    slice_,
    squeeze,
    transpose,
    unsqueeze,
)

TYPES: dict[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.BOOL: torch.bool,
    TensorProto.UINT8: torch.uint8,
    TensorProto.INT8: torch.int8,
    TensorProto.UINT16: torch.uint16,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.UINT4: torch.uint8,  # PyTorch computes with no type of 4 bits
    TensorProto.INT4: torch.int8,
}

CODES: dict[int, tuple[int, int]] = {
    TensorProto.UINT4: (0, 15),
    TensorProto.INT4: (-8, 7),
    TensorProto.UINT8: (0, 255),
    TensorProto.INT8: (-128, 127),
    TensorProto.UINT16: (0, 65535),
    TensorProto.INT16: (-32768, 32767),
}


# --- quantization --------------------------------------------------------------------------------


def quantize_linear(
    x: Tensor,
    scale: Tensor,
    zero_point: Tensor | None = None,
    *,
    output_dtype: int = TensorProto.UINT8,
    axis: int = 1,
    block_size: int = 0,
    saturate: int = 1,
) -> Tensor:
    """Return saturate(round(x / scale) + zero_point), halves rounded to the even neighbour.

    scale, zero_point: scalars, or (x.shape[axis],). `saturate` concerns 8-bit floats only.
    """
    if output_dtype not in CODES:
        raise NotImplementedError(f"codes of type {TensorProto.DataType.Name(output_dtype)}")
    codes = torch.round(x / _along(scale, x, axis, block_size))
    if zero_point is not None:
        codes = codes + _along(zero_point, x, axis, block_size).to(codes.dtype)
    return codes.clamp(*CODES[output_dtype]).to(TYPES[output_dtype])


def dequantize_linear(
    codes: Tensor, scale: Tensor, zero_point: Tensor | None = None, *, axis: int = 1, block_size: int = 0
) -> Tensor:
    """Return (codes - zero_point) * scale, in the type of `scale`.

    scale, zero_point: scalars, or (codes.shape[axis],), or one value a block of `block_size` along `axis`.
    """
    steps = codes.to(torch.int32)
    if zero_point is not None:
        steps = steps - _along(zero_point, codes, axis, block_size).to(torch.int32)
    return steps.to(scale.dtype) * _along(scale, codes, axis, block_size)


def _along(parameter: Tensor, x: Tensor, axis: int, block_size: int) -> Tensor:
    """Return a scale or zero point in a shape that broadcasts against `x`."""
    if block_size:
        return parameter.repeat_interleave(block_size, axis).narrow(axis, 0, x.shape[axis])
    if parameter.ndim == 0:
        return parameter
    return parameter.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


# --- layers --------------------------------------------------------------------------------------


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    kernel_shape: Sequence[int] = (),
    strides: Sequence[int] = (1, 1),
    pads: Sequence[int] = (0, 0, 0, 0),
    dilations: Sequence[int] = (1, 1),
    group: int = 1,
    auto_pad: str = "NOTSET",
) -> Tensor:
    """Return a 2-D convolution.

    x: (N, C, H, W), weight: (out, C / group, kh, kw), pads: top, left, bottom, right.
    """
    if auto_pad not in ("NOTSET", "VALID"):
        raise NotImplementedError(f"auto_pad {auto_pad}")
    top, left, bottom, right = pads
    if (top, left) != (bottom, right):
        x, top, left = F.pad(x, (left, right, top, bottom)), 0, 0
    return F.conv2d(x, weight, bias, tuple(strides), (top, left), tuple(dilations), group)


def gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,  # noqa: N803  as ONNX spells it
    transB: int = 0,  # noqa: N803
) -> Tensor:
    """Return alpha * a @ b + beta * c, with a: (M, K), b: (K, N), c: broadcast to (M, N)."""
    product = (a.t() if transA else a) @ (b.t() if transB else b)
    if alpha != 1:
        product = alpha * product
    if c is None:
        return product
    return product + (c if beta == 1 else beta * c)


def layer_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = TensorProto.FLOAT,
) -> Tensor:
    """Return x normalized over the axes from `axis` on; scale, bias: x.shape[axis:]."""
    if stash_type != TensorProto.FLOAT:
        raise NotImplementedError(f"stash_type {stash_type}")
    return F.layer_norm(x, x.shape[axis:], scale, bias, epsilon)


def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """Return GELU of x, exact or, where `approximate` is "tanh", by that approximation."""
    return F.gelu(x, approximate=approximate)


def global_average_pool(x: Tensor) -> Tensor:
    """Return means over all axes behind the channels, (N, C, ...) to (N, C, 1, ...)."""
    return x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)


# --- reductions ----------------------------------------------------------------------------------


def _reduction(reduce: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[..., Tensor]:
    def reduction(
        x: Tensor, axes: Axes | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> Tensor:
        """Reduce over `axes`; with none given over all, or over none where `noop_with_empty_axes`."""
        over = [] if axes is None else [int(axis) for axis in axes]
        if not over and noop_with_empty_axes:
            return x
        return reduce(x, over or list(range(x.ndim)), bool(keepdims))

    return reduction


def _l2(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, ord=2, dim=axes, keepdim=keepdims)
    return norm


# --- arithmetic ----------------------------------------------------------------------------------


def divide(a: V, b: V) -> V:
    """Return a / b; for integers rounded towards zero, as in C."""
    if isinstance(a, Tensor):
        return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")
    quotient: Sizes = a // b  # sizes are never negative
    return quotient


def power(x: Tensor, exponent: Value) -> Tensor:
    """Return x ** exponent in the type of `x`."""
    raised = torch.pow(x, exponent if isinstance(exponent, Tensor) else exponent.item())
    return raised.to(x.dtype)


def cast(x: Value, *, to: int, saturate: int = 1) -> Value:
    """Return x in another type, fractions cut off. `saturate` concerns 8-bit floats only."""
    if isinstance(x, Tensor):
        return x.to(TYPES[to])
    if to in (TensorProto.INT32, TensorProto.INT64):
        return x
    # torch.tensor would replace a symbol by its value of the moment
    numbers = [torch.full((), size, dtype=TYPES[to]) for size in x.ravel().tolist()]
    return torch.stack(numbers).reshape(x.shape)


def identity(x: V) -> V:
    """Return x as it is."""
    return x


def maximum(first: Tensor, *others: Tensor) -> Tensor:
    """Return the largest of several values, element by element."""
    return reduce(torch.maximum, others, first)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": operator.add,
    "Cast": cast,
    "Concat": concat,
    "Conv": conv,
    "DequantizeLinear": dequantize_linear,
    "Div": divide,
    "Erf": torch.erf,
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "Gelu": gelu,
    "Gemm": gemm,
    "GlobalAveragePool": global_average_pool,
    "HardSwish": F.hardswish,
    "Identity": identity,
    "LayerNormalization": layer_normalization,
    "MatMul": torch.matmul,
    "Max": maximum,
    "Mul": operator.mul,
    "Pow": power,
    "QuantizeLinear": quantize_linear,
    "Reciprocal": torch.reciprocal,
    "ReduceL2": _reduction(_l2),
    "ReduceMean": _reduction(torch.mean),
    "ReduceSum": _reduction(torch.sum),
    "Relu": torch.relu,
    "Reshape": reshape,
    "Resize": resize,
    "Shape": shape,
    "Sigmoid": torch.sigmoid,
    "Slice": slice_,
    "Sqrt": torch.sqrt,
    "Squeeze": squeeze,
    "Sub": operator.sub,
    "Tanh": torch.tanh,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
    # where the opset lacks 16- and 4-bit types, ONNX Runtime writes them in its own domain, meant the same
    "com.microsoft.DequantizeLinear": dequantize_linear,
    "com.microsoft.QuantizeLinear": quantize_linear,
}
