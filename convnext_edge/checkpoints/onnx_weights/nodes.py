"""What nodes of an ONNX graph state, whichever opset they are written in: attributes, axes and their like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from convnext_edge.onnx_graph.lookup import read_attribute

Array = NDArray[Any]
LONGEST = 100  # characters of a name in a message


class NotUnderstoodError(Exception):
    """Says which node is not understood and why, as a sentence without its end."""


def title(node: NodeProto) -> str:
    """Return what a message calls a node: its operator and its name, or its output where it has no name."""
    name = node.name or next(iter(node.output), "")
    domain = f"{node.domain}." if node.domain not in ("", "ai.onnx") else ""
    return f"{readable(domain + node.op_type)} {name[:LONGEST]!r}"


def readable(name: str) -> str:
    """Return a name of a file as a message shows it: without control characters, and not too long."""
    short = name[:LONGEST]
    return short if short.isprintable() else repr(short)


def whole(values: Any) -> list[int]:
    """Return whole numbers of an attribute or of a constant."""
    return [int(value) for value in np.asarray(values).ravel()]


def stated(node: NodeProto, inputs: Sequence[Any], name: str, index: int) -> list[int] | None:
    """Return numbers that are an attribute in early opsets and an input in later ones; None where absent."""
    found = read_attribute(node, name, None)
    if found is None and len(inputs) > index and inputs[index] is not None:
        found = inputs[index]
        if not isinstance(found, np.ndarray):
            raise NotUnderstoodError(f"computes its {name} from the image")
    return None if found is None else whole(found)


def number(node: NodeProto, inputs: Sequence[Any], name: str, index: int, default: float) -> float:
    """Return one number that is an attribute in early opsets and an input in later ones."""
    found = read_attribute(node, name, None)
    if found is None and len(inputs) > index and inputs[index] is not None:
        found = inputs[index]
        if not isinstance(found, np.ndarray) or found.size != 1:
            raise NotUnderstoodError(f"has a {name} that is no constant")
    return default if found is None else float(np.asarray(found).reshape(()))
