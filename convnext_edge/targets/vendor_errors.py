"""What the exceptions of runtimes say to a person; needs neither NumPy nor any runtime."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten

from convnext_edge.errors import ConvNeXtEdgeError, TargetError

LONGEST = 400  # characters of a runtime's message that are shown


@contextmanager
def as_target_error(failure: str) -> Iterator[None]:
    """Turn whatever a runtime raises inside into a TargetError "`failure`: the runtime's own words".

    Runtimes raise RuntimeError, MemoryError and classes of their own that share no base.
    """
    try:
        yield
    except ConvNeXtEdgeError:
        raise
    except Exception as error:
        hint = "Give it fewer images at a time." if is_out_of_memory(error) else "Run with -v for the rest."
        raise TargetError(f"{failure}: {short_message(error)}", hint=hint) from error


def is_out_of_memory(error: Exception) -> bool:
    """Return whether the memory did not suffice, which each runtime says in words of its own."""
    found = re.search(r"alloc\w* memory|out of memory|bad.alloc", str(error), re.IGNORECASE)
    return isinstance(error, MemoryError) or found is not None


def short_message(error: BaseException) -> str:
    """Return what an exception says, without OpenVINO's source lines and ONNX Runtime's numbers."""
    lines = [line.strip() for line in str(error).splitlines()]
    message = " ".join(line for line in lines if line and not re.match(r"Exception from |Check '", line))
    message = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", message)
    return shorten(message or type(error).__name__, LONGEST, placeholder=" …")
