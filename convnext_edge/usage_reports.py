"""Imports of libraries that report their use to their makers over the network, without these reports."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

# What OpenVINO, ONNX Runtime and NNCF look at when they are imported: on a CI server they report nothing.
SWITCHES = {"CI": "true", "NNCF_CI": "1"}


@contextmanager
def no_usage_reports(packages: Sequence[str]) -> Iterator[None]:
    """Let the first import of these packages report nothing; the environment is as before afterwards.

    Where all are loaded, nothing is done: they look at the environment once. Only `quiet.importing` calls
    this, one thread at a time.
    """
    if all(name in sys.modules for name in packages):
        yield
        return
    before = {name: os.environ.get(name) for name in SWITCHES}
    os.environ.update(SWITCHES)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
