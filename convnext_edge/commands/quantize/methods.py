"""The methods of `quantize` by name, and the form in which each takes the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, get_args

from convnext_edge.errors import UsageError, nearest
from convnext_edge.quiet import importing

if TYPE_CHECKING:
    from convnext_edge.artifacts.artifact import Form
    from convnext_edge.quantization.job import Job, Quantized

Method = Literal["ptq", "nncf", "ort"]
METHODS: tuple[Method, ...] = get_args(Method)

# `quantize_static` is called on what anyone exports; NNCF scales the weights of a MatMul along their inputs,
# which ONNX Runtime cannot run, and those of a convolution along their outputs.
FORMS: dict[str, Form] = {"ort": "plain", "nncf": "conv"}


def find_method(method: Method) -> Callable[[Job], Quantized]:
    """Return what runs a method. Each is imported only when chosen: NNCF alone takes seconds."""
    with importing("onnxruntime"):
        match method:
            case "ptq":
                from convnext_edge.quantization.ptq import quantize_ptq as run
            case "nncf":
                from convnext_edge.quantization.nncf import quantize_nncf as run
            case "ort":
                from convnext_edge.quantization.ort import quantize_ort as run
            case _:
                raise UsageError(
                    f"unknown method {method!r}",
                    hint=f"{nearest(method, METHODS)}Known: {', '.join(METHODS)}.",
                )
    return run
