"""The first second of what `make soak` does for minutes: classifiers that threads share, open, drop."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.embedded import Build, Embedded, Pixels, packed, run

pytestmark = [pytest.mark.programs("cmake", "c++")]


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_threads_get_the_same_answers_under_sanitizers(
    embedded: Embedded, built: Callable[[str], Build], pictures: list[Pixels], runtime: str
) -> None:
    command = (built(runtime).harness, embedded(runtime) / "model", "soak", "8", "1.0")
    counts = json.loads(run(*command, given=packed(pictures[:20])))
    assert counts["calls"] >= 8 * 80, "each thread asks 80 times at least"
    assert counts["opened"] >= 8
    assert (counts["wrong"], counts["errors"]) == (0, 0)
