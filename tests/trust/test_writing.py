"""A few of the kills and races that `make kill` makes hundreds of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.models import Models
from support.places import ROOT, TESTS

pytestmark = [
    pytest.mark.slow(seconds=15),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes that are forked"),
]


def figures_of(script: str, *arguments: object) -> dict[str, object]:
    """What a script of this folder counts, which fails where anything is wrong."""
    done = subprocess.run(
        [sys.executable, TESTS / "trust" / script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


def test_a_kill_leaves_the_old_files_or_the_new_ones_and_nothing_else(models: Models, tmp_path: Path) -> None:
    models.engine("openvino", models.quantized())
    cheap = ("build openvino", "embed", "validate", "report")
    only = [option for name in cheap for option in ("--only", name)]
    found = figures_of("kill.py", "--kills", 24, "--base", models.workspace, *only)
    assert found["faults"] == []
    counts: dict[str, dict[str, int]] = found["commands"]  # type: ignore[assignment]
    assert sum(each["interrupted"] for each in counts.values()) > 12
    assert counts["embed"]["interrupted"]


def test_writers_and_readers_of_one_name_never_see_a_mixture() -> None:
    found = figures_of("race.py", "--rounds", 10)
    assert found["counts"]["read"] > 10  # type: ignore[index]
