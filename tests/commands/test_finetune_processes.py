"""finetune under torchrun: two processes do what one does, and speak with one voice."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.models import Models

from convnext_edge import finetune
from convnext_edge.commands.finetune import processes
from convnext_edge.errors import UsageError

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.mark.skipif(os.name == "nt", reason="torchrun's elastic agent is not for Windows")
@pytest.mark.slow(seconds=20)
def test_a_step_of_two_processes_is_that_of_one(models: Models, photos: Path, tmp_path: Path) -> None:
    """One step: from the second on, a value that falls the other way at a rounding boundary changes all."""
    folders = tmp_path / "one", tmp_path / "two"
    results = in_this_process(models, photos, folders[0]), in_two_processes(models, photos, folders[1])
    one, two = (torch.load(folder / "snapshots" / "qat.onnx.pt", weights_only=True) for folder in folders)
    scales = [name for name in one["student"] if name.endswith("log_scale")]
    assert len(scales) == 27  # of the 4-bit weights of 14 layers, and of the inputs of all but the head
    # gradients are added up in another order, and Adam's first step divides each by its own size
    torch.testing.assert_close(two["student"], one["student"], rtol=1e-5, atol=3e-6)
    for index, state in one["optimizer"]["state"].items():  # a tenth of the gradient
        expected = state["exp_avg"]
        assert (two["optimizer"]["state"][index]["exp_avg"] - expected).norm() <= 1e-4 * expected.norm()
    same = ("steps", "epochs", "images", "start_agreement", "start_top1", "final_agreement", "final_top1")
    assert [results[1][key] for key in same] == [results[0][key] for key in same]
    made = sorted(path.name for path in folders[1].iterdir())
    assert made == sorted(path.name for path in folders[0].iterdir())


def in_this_process(models: Models, photos: Path, folder: Path) -> dict[str, Any]:
    """What `--json` would print."""
    start, recipe = copy_start(models, folder)
    made = finetune(
        start,
        train=str(photos),
        data=str(photos),
        steps=1,
        batch=8,
        samples=4,
        recipe=recipe,
        output=folder / "qat.onnx",
        workspace=folder,
    )
    return made.to_json()


def in_two_processes(models: Models, photos: Path, folder: Path) -> Any:
    """What `--json` prints; notes are on standard error, each once."""
    start, recipe = copy_start(models, folder)
    options = ["--train", photos, "--data", photos, "--steps", 1, "--batch", 8, "--samples", 4]
    where = ["--recipe", recipe, "-o", folder / "qat.onnx", "--workspace", folder, "--json"]
    done = subprocess.run(
        [sys.executable, *TORCHRUN, "-m", "convnext_edge", "finetune", *map(str, [start, *options, *where])],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^fine-tuning timm_v1\.onnx", done.stderr, re.MULTILINE)) == 1
    return json.loads(done.stdout)


def copy_start(models: Models, folder: Path) -> tuple[Path, Path]:
    """The model that training starts with, and a recipe, in a folder of the run's own."""
    folder.mkdir()
    start = models.exported()
    for name in ("timm_v1.safetensors", "timm_v1.safetensors.json"):
        shutil.copy(start.with_name(name), folder)
    recipe = folder / "recipe.toml"
    recipe.write_text("weight_bits = 4\n")
    return start, recipe


def test_a_batch_that_the_processes_cannot_divide_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "Accelerator", lambda **_: SimpleNamespace(num_processes=3))
    assert processes.join(9).num_processes == 3
    with pytest.raises(UsageError, match="3 processes cannot divide --batch 64 evenly"):
        processes.join(64)


def test_machines_with_other_images_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "gather_object", lambda values: [*values, {"steps": 3, "images": "cd"}])
    processes.check_same({"steps": 3, "images": "cd"})
    with pytest.raises(UsageError, match="process 1 has another images than the first: 'cd', not 'ab'"):
        processes.check_same({"steps": 3, "images": "ab"})
