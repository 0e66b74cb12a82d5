"""GELU below opset 20, which has no operator for it: as the pattern that runtimes fuse.

ONNX Runtime (1.31) does not fuse what PyTorch's exporter (2.13) writes by itself, which multiplies in another
order. OpenVINO and TensorRT are not so strict.
https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/optimizer/gelu_fusion.cc
"""

from __future__ import annotations

import math
from typing import Any

from onnx import ModelProto
from onnxscript import opset18
from onnxscript.rewriter import MatchContext, RewriteRule, rewrite

FIRST_WITH_GELU = 20


def write_gelu(x: Any, approximate: str = "none") -> Any:
    """Write the pattern in place of `aten.gelu`, as PyTorch's exporter calls it."""
    return (tanh if approximate == "tanh" else exact)(opset18, x)


def exact(op: Any, x: Any) -> Any:
    """Return x * (1 + erf(x / sqrt(2))) * 0.5, in operators of `op`."""
    return op.Mul(op.Mul(x, op.Add(op.Erf(op.Div(x, math.sqrt(2))), 1.0)), 0.5)


def tanh(op: Any, x: Any) -> Any:
    """Return 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3))), in operators of `op`."""
    inner = op.Mul(op.Add(x, op.Mul(op.Pow(x, 3.0), 0.044715)), math.sqrt(2 / math.pi))
    return op.Mul(op.Mul(x, 0.5), op.Add(op.Tanh(inner), 1.0))


def join_gelu(model: ModelProto) -> ModelProto:
    """Return a copy of a graph with Gelu in place of its patterns, whatever the opset.

    It is for converters that know GELU and not its patterns.
    """
    rules = [
        RewriteRule(exact, lambda op, x: op.Gelu(x)),
        RewriteRule(tanh, lambda op, x: op.Gelu(x, approximate="tanh")),
    ]
    joined: ModelProto = rewrite(model, pattern_rewrite_rules=rules)
    return joined


def find_gelu(model: ModelProto) -> list[str]:
    """Return the names of the nodes that make up the patterns of a graph."""
    found: list[str] = []

    def collect(context: MatchContext, **_values: Any) -> bool:
        found.extend(str(node.name) for node in context.nodes)
        return False  # the graph stays as it is

    rewrite(model, [RewriteRule(pattern, lambda op, x: x, collect) for pattern in (exact, tanh)])
    return found
