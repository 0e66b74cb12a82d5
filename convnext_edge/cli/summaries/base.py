"""What a result without a summary of its own shows; the others are registered here."""

from __future__ import annotations

from functools import singledispatch

from convnext_edge.results import Result


@singledispatch
def summary(result: Result) -> str:
    """A short text for a terminal; `to_json` has all."""
    return "\n".join(f"{key}: {value}" for key, value in result.to_json().items())
