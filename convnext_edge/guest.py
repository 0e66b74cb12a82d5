"""Being a guest in somebody else's process: what a call changes there does not outlive it.

Threads of the host may call several commands at once. What libraries cannot do side by side waits for
`ALONE`: first imports (of packages that import each other) and PyTorch's exporters.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

ALONE = threading.RLock()
"""Held by the one thread that imports or traces. Whoever holds it waits for no lock of a workspace."""

# Beginnings of the names of packages, and of the environment variables that they set.
LIBRARIES = ("accelerate", "nncf", "onnx", "openvino", "ray_", "torch")


class Shared:
    """A context that is entered with the first thread that comes, and left with the last one that goes."""

    def __init__(self, make: Callable[[], AbstractContextManager[object]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._inside = 0
        self._opened = ExitStack()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be one of those inside; a thread may be so several times."""
        with self._lock:
            if not self._inside:
                self._opened.enter_context(self._make())
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._opened.close()


class Turns:
    """A lock that many threads share or one has alone; who waits to be alone comes first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._owner: int | None = None  # the thread that is, or waits to be, alone
        self._depth = 0  # how often it entered
        self._sharing = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Be one of those that share."""
        with self._changed:
            self._changed.wait_for(self._mine)
            self._sharing += 1
        try:
            yield
        finally:
            with self._changed:
                self._sharing -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be alone; a thread may enter several times, but not while it shares."""
        with self._changed:
            self._changed.wait_for(self._mine)
            self._owner = threading.get_ident()
            self._depth += 1
        try:
            with self._changed:
                self._changed.wait_for(lambda: not self._sharing)
            yield
        finally:
            with self._changed:
                self._depth -= 1
                self._owner = self._owner if self._depth else None
                self._changed.notify_all()

    def _mine(self) -> bool:
        return self._owner in (None, threading.get_ident())


@contextmanager
def replaced(owner: object, name: str, value: object) -> Iterator[None]:
    """Give an attribute another value, and the old one back unless somebody else changed it."""
    usual = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if getattr(owner, name) is value:
            setattr(owner, name, usual)


@contextmanager
def variables_set(values: Mapping[str, str], *, others: Sequence[str] = ()) -> Iterator[None]:
    """Set variables of the environment; afterwards they, and `others`, are what they were before."""
    before = {name: os.environ.get(name) for name in (*values, *others)}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def at_level(logger: logging.Logger, level: int) -> Iterator[None]:
    """Let a logger take records of this level and above, and those of its own level again afterwards."""
    usual = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(usual)


@contextmanager
def without_traces() -> Iterator[None]:
    """Take back what libraries set in the process: variables, the class of loggers, and the like.

    What a library goes on to need stays: its modules, the handlers of its own loggers, its search paths.
    """
    variables, loggers = set(os.environ), logging.getLoggerClass()
    start_method = multiprocessing.get_start_method(allow_none=True)
    try:
        yield
    finally:
        for name in set(os.environ) - variables:
            if name.lower().startswith(LIBRARIES):
                os.environ.pop(name, None)
        changed = logging.getLoggerClass()
        if changed is not loggers and changed.__module__.startswith(LIBRARIES):
            logging.setLoggerClass(loggers)
        if start_method is None:
            _forget_default_start_method()


def _forget_default_start_method() -> None:
    """Let the host still choose how processes start; a library that asked for the default fixed it."""
    if multiprocessing.get_start_method(allow_none=True) == multiprocessing.get_all_start_methods()[0]:
        with contextlib.suppress(RuntimeError):
            multiprocessing.set_start_method(None, force=True)


class SignalStack(ctypes.Structure):
    """The struct stack_t of sigaltstack(2)."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def keep_signal_stack() -> Iterator[None]:
    """Give this thread its alternate signal stack back, where what is called inside sets another.

    OpenVINO sets one where it compiles, and puts the one before back where the model goes. Of two models
    that go in the order in which they came, the second puts back a stack that is freed already. The next
    signal with a handler in Python, which runs on that stack, is then a segmentation fault.
    """
    switch = getattr(ctypes.CDLL(None), "sigaltstack", None) if os.name == "posix" else None
    before = SignalStack()
    if switch is not None:
        switch(None, ctypes.byref(before))
    try:
        yield
    finally:
        if switch is not None:
            switch(ctypes.byref(before), None)
