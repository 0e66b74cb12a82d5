"""Imports of libraries that report their use to their makers over the network, without these reports."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

# What OpenVINO, ONNX Runtime and NNCF look at when they are imported: on a CI server they report nothing.
SWITCHES = {"CI": "true", "NNCF_CI": "1"}


@contextmanager
def no_usage_reports() -> Iterator[None]:
    """Let the imports inside report nothing; the environment is as before afterwards.

    Only `quiet.importing` calls this, one thread at a time.
    """
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
