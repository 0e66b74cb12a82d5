"""A snapshot is gone on from only where it holds what a snapshot holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from convnext_edge.commands.finetune import snapshots
from convnext_edge.commands.finetune.snapshots import Snapshot
from convnext_edge.errors import ArtifactError

SETTINGS = {"format": snapshots.FORMAT}
KEPT = Snapshot(
    3, SETTINGS, {"start_top1": 0.5, "reference_top1": None}, {"weight": torch.ones(2)}, {"state": {}}
)


def test_a_snapshot_is_read_as_it_was_written(tmp_path: Path) -> None:
    snapshots.save(KEPT, tmp_path / "run.pt")
    found = snapshots.load(tmp_path / "run.pt", SETTINGS)
    assert found is not None
    assert (found.step, found.start) == (3, KEPT.start)
    assert torch.equal(found.student["weight"], torch.ones(2))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"step": "3"}, 'step must be a whole number, is "3"'),
        ({"step": -1}, "step must be a whole number of at least 0, is -1"),
        ({"settings": None}, "settings must be an object, is null"),
        ({"start": {"start_top1": "half"}}, "start.start_top1 must be a number"),
        ({"student": []}, "student must be an object"),
        ({"later": 1}, "later"),
    ],
    ids=str,
)
def test_a_snapshot_of_another_shape_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    torch.save({**vars(KEPT), **changes}, tmp_path / "run.pt")
    with pytest.raises(ArtifactError) as caught:
        snapshots.load(tmp_path / "run.pt", SETTINGS)
    assert said in caught.value.message
    assert caught.value.hint == "Start without --resume."


@pytest.mark.parametrize(
    ("saved", "resume", "said"),
    [
        ([], False, "nothing was saved yet to --resume from; the first time is after 50 steps"),
        ([], True, "nothing new was saved: the same command begins again where this one did"),
        ([50, 100], True, "saved at step 100 of 300: the same command with --resume goes on from there"),
    ],
)
def test_a_run_that_is_stopped_says_whether_it_can_be_gone_on_with(
    caplog: pytest.LogCaptureFixture, saved: list[int], said: str, *, resume: bool
) -> None:
    caplog.set_level("INFO", "convnext_edge")

    def stop() -> None:
        with snapshots.told_when_stopped(300, 50, resume=resume) as steps:
            steps += saved
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert caplog.messages == [said]
