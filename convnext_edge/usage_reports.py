"""Imports of libraries that report their use to their makers over the network, without these reports."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# What OpenVINO and NNCF look at when they are imported: in the runs of a CI server they report nothing.
SWITCHES = {"CI": "true", "NNCF_CI": "1"}
_lock = threading.RLock()


@contextmanager
def no_usage_reports(package: str) -> Iterator[None]:
    """Let the first import of a package report nothing; the environment is as before afterwards."""
    if package in sys.modules:
        yield
        return
    with _lock:
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
