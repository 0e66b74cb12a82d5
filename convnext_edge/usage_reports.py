"""Imports of libraries that report their use to their makers over the network, without these reports."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# What OpenVINO, ONNX Runtime and NNCF look at when they are imported: on a CI server they report nothing.
SWITCHES = {"CI": "true", "NNCF_CI": "1"}
_lock = threading.RLock()


@contextmanager
def no_usage_reports() -> Iterator[None]:
    """Let the imports inside report nothing; the environment is as before afterwards."""
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
