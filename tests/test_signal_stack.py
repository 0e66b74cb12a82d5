"""A library that sets another signal stack leaves the host's as it was."""

from __future__ import annotations

import ctypes
import os

import pytest

from convnext_edge.guest import SignalStack, keep_signal_stack

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signal stacks are POSIX's")
SIZE = 65536


def current() -> int | None:
    stack = SignalStack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    found: int | None = stack.sp
    return found


def test_the_stack_of_before_is_put_back() -> None:
    before, memory = current(), ctypes.create_string_buffer(SIZE)
    with keep_signal_stack():
        stack = SignalStack(ctypes.addressof(memory), 0, SIZE)
        assert ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None) == 0
        assert current() == ctypes.addressof(memory)
    assert current() == before
