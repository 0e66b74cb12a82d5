"""How many threads PyTorch's operators run on.

PyTorch's setting is the calling thread's, and also that of all threads which have run no operator yet: those
would keep it for good. So that other setting is put back at once, from a thread of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

_LOCK = threading.Lock()


@contextmanager
def operator_threads(count: int) -> Iterator[None]:
    """Run each operator on `count` threads, in this thread alone."""
    before = torch.get_num_threads()
    if count == before:
        yield
        return
    set_operator_threads(count)
    try:
        yield
    finally:
        set_operator_threads(before)


def set_operator_threads(count: int) -> None:
    """Let each operator of this thread run on `count` threads from now on."""
    torch.get_num_threads()  # before a thread's first operator or this, it takes what is set for all
    with _LOCK, ThreadPoolExecutor(1) as another:
        usual = another.submit(torch.get_num_threads).result()
        torch.set_num_threads(count)
        another.submit(torch.set_num_threads, usual).result()
