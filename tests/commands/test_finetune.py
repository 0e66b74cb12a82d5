"""finetune: an INT8 file closer to the reference, and the same one however often the run was killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from support.int8_graphs import MULTIPLICATIONS, PAIR_LIMIT, pair_sums
from support.models import RESOLUTION, Models
from torch import nn

from convnext_edge import finetune
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.commands.finetune.command import AskedPrecision, Finetune
from convnext_edge.commands.finetune.data import TrainingImages, hold_out, random_box
from convnext_edge.commands.finetune.training import Plan, learning_rate, make_optimizer, set_rate
from convnext_edge.errors import UsageError
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.quantization.fake import LearnedFakeQuantize

import onnx  # isort: skip


@pytest.fixture(scope="module")
def coarse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that loses enough for training to win it back."""
    recipe = tmp_path_factory.mktemp("recipe") / "coarse.toml"
    recipe.write_text("weight_bits = 3\n")
    return recipe


@pytest.fixture(scope="module")
def trained(models: Models, photos: Path, coarse: Path, tmp_path_factory: pytest.TempPathFactory) -> Finetune:
    return finetune(
        models.exported(),
        train=str(photos),
        data=str(photos),
        steps=40,
        batch=16,
        samples=8,
        recipe=coarse,
        learning_rate=1e-3,
        output=tmp_path_factory.mktemp("trained") / "qat.onnx",
        workspace=models.workspace,
    )


def test_training_wins_back_what_three_bits_lose(trained: Finetune) -> None:
    assert trained.images == 40
    assert trained.final_agreement > trained.start_agreement
    assert trained.epochs == 40 * 16 / 40


def test_the_artifact_is_one_of_quantize_with_another_method(trained: Finetune) -> None:
    description = open_artifact(trained.artifact).description
    assert set(trained.quantized_layers) == MULTIPLICATIONS
    assert (description.method, description.precision, description.target) == ("qat", "w3a8", "openvino")
    assert description.recipe is not None
    assert description.recipe["finetune"]["steps"] == 40


def test_trained_weights_cannot_overflow_16_bits_either(models: Models, photos: Path, tmp_path: Path) -> None:
    made = finetune(
        models.exported(),
        train=str(photos),
        steps=2,
        batch=8,
        samples=4,
        activation="relu",
        output=tmp_path / "qat.onnx",
        workspace=models.workspace,
    )
    model = onnx.load(made.artifact)
    sums = pair_sums(model)
    assert sums.keys() == MULTIPLICATIONS
    assert max(sums.values()) <= PAIR_LIMIT
    operators = {node.op_type for node in model.graph.node}
    assert "Relu" in operators
    assert "Gelu" not in operators


def test_compiled_in_bfloat16_it_learns_too(
    models: Models, photos: Path, coarse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # all of torch.compile but the compiler of C++, which takes most of a minute
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    made = finetune(
        models.exported(),
        train=str(photos),
        data=str(photos),
        steps=20,
        batch=16,
        samples=8,
        recipe=coarse,
        learning_rate=1e-3,
        precision="bf16",
        compile=True,
        output=tmp_path / "qat.onnx",
        workspace=models.workspace,
    )
    assert made.final_agreement > made.start_agreement
    recipe = open_artifact(made.artifact).description.recipe
    assert recipe is not None
    assert (recipe["finetune"]["precision"], recipe["finetune"]["compiled"]) == ("bf16", True)


# Killed and resumed

STEPS = 30
KILLS = 2


def tune(
    models: Models,
    photos: Path,
    folder: Path,
    precision: AskedPrecision,
    steps: int = STEPS,
    resume: bool = True,
) -> Finetune:
    """Fine-tune in this process, with what `command` says."""
    return finetune(
        models.exported(),
        train=str(photos),
        steps=steps,
        batch=4,
        samples=4,
        save_every=2,
        precision=precision,
        resume=resume,
        output=folder / "qat.onnx",
        workspace=folder,
    )


def command(models: Models, photos: Path, folder: Path, precision: AskedPrecision) -> list[str]:
    """Fine-tune in a process that can be killed, with what `tune` says."""
    options = ["--train", photos, "--steps", STEPS, "--batch", 4, "--samples", 4, "--save-every", 2]
    where = ["--precision", precision, "--resume", "-o", folder / "qat.onnx", "--workspace", folder]
    return [
        sys.executable,
        "-m",
        "convnext_edge",
        *map(str, ["finetune", models.exported(), *options, *where]),
    ]


def kill_when(arguments: list[str], checkpoint: Path, seconds: float) -> int:
    """Start, and kill -9 `seconds` after the next checkpoint. Returns the step that it goes on with."""
    before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:
            assert process.poll() is None, "the run ended before a checkpoint was written"
            time.sleep(0.01)
        time.sleep(seconds)
        process.kill()
    return int(torch.load(checkpoint, weights_only=True)["step"])


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.slow(seconds=45)
def test_a_run_that_was_killed_again_and_again_goes_on_to_the_same_bytes(
    models: Models, photos: Path, tmp_path: Path, precision: AskedPrecision
) -> None:
    folders = [tmp_path / name for name in ("undisturbed", "killed")]
    for folder in folders:
        folder.mkdir()
        for name in ("timm_v1.safetensors", "timm_v1.safetensors.json"):
            (folder / name).write_bytes(models.exported().with_name(name).read_bytes())
    whole = tune(models, photos, folders[0], precision, resume=False)
    again = command(models, photos, folders[1], precision)
    generator = random.Random(0)
    checkpoint = folders[1] / "snapshots" / "qat.onnx.pt"
    steps = [kill_when(again, checkpoint, generator.uniform(0, 0.1)) for _ in range(KILLS)]
    assert 0 < steps[0] < steps[1] < STEPS
    resumed = tune(models, photos, folders[1], precision)
    assert (folders[1] / "qat.onnx").read_bytes() == (folders[0] / "qat.onnx").read_bytes()
    assert resumed.final_agreement == whole.final_agreement
    with pytest.raises(UsageError, match=f"made with another steps: {STEPS}, now 3"):
        tune(models, photos, folders[1], precision, steps=3)


# Data


def stream(photos: Path, seed: int = 0) -> TrainingImages:
    images = open_image_set(str(photos))
    return TrainingImages(images, Preprocessing(RESOLUTION), "float32", batch=8, seed=seed)


def test_a_step_sees_the_same_pixels_wherever_the_run_begins(photos: Path) -> None:
    whole = list(stream(photos).batches(0, 7))
    later = list(stream(photos).batches(5, 7))
    for a, b in zip(whole[5:], later, strict=True):
        assert np.array_equal(a.pixels, b.pixels)
        assert torch.equal(a.labels, b.labels)
    assert whole[0].pixels.shape == (8, 3, RESOLUTION, RESOLUTION)
    other = next(stream(photos, seed=1).batches(0, 1))
    assert not np.array_equal(whole[0].pixels, other.pixels)


def test_processes_divide_each_step_of_one(photos: Path) -> None:
    whole = list(stream(photos).batches(2, 4))
    shares = [list(stream(photos).batches(2, 4, process=process, processes=4)) for process in range(4)]
    for step, batch in enumerate(whole):
        assert np.array_equal(np.concatenate([share[step].pixels for share in shares]), batch.pixels)
        assert torch.equal(torch.cat([share[step].labels for share in shares]), batch.labels)


def test_a_broken_image_is_replaced_and_named(photos: Path, tmp_path: Path) -> None:
    for number in range(100):
        source = photos / f"class{number % 10}" / f"{number % 40}.png"
        (tmp_path / f"{number:03}.png").write_bytes(source.read_bytes() if number != 50 else b"broken")
    images = open_image_set(str(tmp_path))
    stream = TrainingImages(images, Preprocessing(RESOLUTION), "float32", batch=1, seed=0)
    assert [len(batch.pixels) for batch in stream.batches(0, 100)] == [1] * 100
    assert [image.name for image in images.skipped] == ["050.png"]


def test_an_epoch_sees_each_image_once(photos: Path) -> None:
    labels = [label for batch in stream(photos).batches(0, 5) for label in batch.labels.tolist()]
    assert sorted(labels) == sorted(entry.label for entry in open_image_set(str(photos)).entries)


def test_what_is_measured_on_is_not_trained_with(photos: Path) -> None:
    trained, measured = hold_out(open_image_set(str(photos)), seed=0)
    assert (len(trained), len(measured)) == (38, 2)
    assert not set(trained.entries) & set(measured.entries)


def test_crops_lie_within_the_image() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        left, top, right, bottom = random_box(90, 30, generator)
        assert 0 <= left < right <= 90
        assert 0 <= top < bottom <= 30


# Arithmetic


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    plan = Plan(steps=100, learning_rate=1.0, label_weight=0.0, save_every=1)
    rates = [learning_rate(step, plan) for step in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[4] == 1.0
    assert rates[100] == pytest.approx(0, abs=1e-9)


def test_a_learned_scale_rounds_as_its_codes_say() -> None:
    codes = {"dtype": torch.uint8, "quant_min": 0, "quant_max": 255, "qscheme": torch.per_tensor_affine}
    fake = LearnedFakeQuantize(scale=torch.tensor(0.5), zero_point=2, **codes)
    x = torch.tensor([[-9.0, -0.3, 0.7, 200.0]], requires_grad=True)  # one image
    y = fake(x)
    assert y.tolist() == [[-1.0, -0.5, 0.5, 126.5]]
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0, 1, 1, 0]]
    # LSQ: of what is cut off, the code; of the rest, rounded minus exact; here in codes, times the scale
    expected = (-2 + (-1 + 0.6) + (1 - 1.4) + 253) * 0.5 / (4 * 255) ** 0.5
    assert fake.log_scale.grad is not None
    assert fake.log_scale.grad.item() == pytest.approx(expected, rel=1e-4)


def test_the_weights_of_a_stem_that_takes_bytes_get_a_share_of_the_rate() -> None:
    """Bytes / 255 / std is in them: steps of the usual length would be a third of each weight."""
    student = nn.ModuleDict({"stem": nn.ModuleDict({"conv": nn.Conv2d(3, 4, 2)}), "head": nn.Linear(4, 2)})
    before = {name: value.detach().clone() for name, value in student.named_parameters()}
    optimizer = make_optimizer(
        student, Plan(steps=9, learning_rate=1e-3, label_weight=0.0, save_every=9), stem_share=0.01
    )
    set_rate(optimizer, 1e-3)
    for value in student.parameters():
        value.grad = torch.ones_like(value)
    optimizer.step()  # AdamW's first step is as long as the rate, whatever the gradient
    moved = {name: float((before[name] - value).mean()) for name, value in student.named_parameters()}
    assert moved.pop("stem.conv.weight") == pytest.approx(1e-5, rel=1e-2)
    assert list(moved.values()) == pytest.approx([1e-3] * 3, rel=1e-2)
