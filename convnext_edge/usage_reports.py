"""Imports of libraries that report their use to their makers over the network, without these reports."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from convnext_edge.guest import variables_set

# What OpenVINO, ONNX Runtime and NNCF look at when they are imported: on a CI server they report nothing.
SWITCHES = {"CI": "true", "NNCF_CI": "1"}


@contextmanager
def no_usage_reports(packages: Sequence[str]) -> Iterator[None]:
    """Let the first import of these packages report nothing; the environment is as before afterwards.

    Where all are loaded, nothing is done: they look at the environment once. Only `quiet.importing` calls
    this, one thread at a time.
    """
    loaded = all(name in sys.modules for name in packages)
    with variables_set({} if loaded else SWITCHES):
        yield
