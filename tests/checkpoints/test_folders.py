"""Folders as Hugging Face saves them, in one file or in parts, and repositories of the hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.local_hub import COMMIT, LocalHub
from support.places import TESTS

from convnext_edge.checkpoints.class_names import names_of_config
from convnext_edge.checkpoints.config import Config
from convnext_edge.checkpoints.folders import locate
from convnext_edge.checkpoints.load_source import load_source
from convnext_edge.checkpoints.loading import load_checkpoint
from convnext_edge.errors import CheckpointError, ConvNeXtEdgeError, DownloadError, UsageError

SAVED = TESTS / "fixtures" / "architectures" / "hf_classifier"
STATE = load_file(SAVED / "model.safetensors")
INDEX = "model.safetensors.index.json"


def same(path: Path) -> None:
    """Check that a checkpoint is the one of the fixture, with what its config says."""
    found, expected = load_checkpoint(path), load_checkpoint(SAVED)
    assert found.architecture == expected.architecture
    assert found.assumed == expected.assumed == ()
    wanted = expected.model.state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in found.model.state_dict().items())
    assert found.classes.names == ("cat", "dog", "horse")


def in_parts(folder: Path, suffix: str = "safetensors", stem: str = "model") -> dict[str, str]:
    """Write the weights in three parts, as `save_pretrained(max_shard_size=...)` does."""
    folder.mkdir(exist_ok=True)
    shutil.copy(SAVED / "config.json", folder)
    names, weight_map = sorted(STATE), {}
    for number in range(3):
        part = {name: STATE[name] for name in names[number::3]}
        file = f"{stem}-{number + 1:05d}-of-00003.{suffix}"
        save_file(part, folder / file) if suffix == "safetensors" else torch.save(part, folder / file)
        weight_map |= dict.fromkeys(part, file)
    write_index(folder, weight_map, f"{stem}.{suffix}.index.json")
    return weight_map


def write_index(folder: Path, weight_map: Any, name: str = INDEX) -> None:
    content = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / name).write_text(json.dumps(content))


def test_a_folder_is_read_with_its_config_and_named_after_it() -> None:
    source = load_source(None, SAVED)
    assert (source.stem, source.classes, source.classes_from) == (
        "hf_classifier",
        ("cat", "dog", "horse"),
        "config.json",
    )
    assert load_checkpoint(SAVED).folder == SAVED


@pytest.mark.parametrize(("suffix", "stem"), [("safetensors", "model"), ("bin", "pytorch_model")])
def test_a_model_in_parts_is_one_model(suffix: str, stem: str, tmp_path: Path) -> None:
    in_parts(tmp_path / "mine", suffix, stem)
    same(tmp_path / "mine")
    same(tmp_path / "mine" / f"{stem}.{suffix}.index.json")
    assert load_source(None, tmp_path / "mine").stem == "mine"


def test_safetensors_go_before_a_pickle_and_what_training_keeps_is_no_model(tmp_path: Path) -> None:
    shutil.copytree(SAVED, tmp_path, dirs_exist_ok=True)
    for name in ("pytorch_model.bin", "optimizer.pt", "training_args.bin", "rng_state_0.pth"):
        (tmp_path / name).write_bytes(b"nothing that could be read")
    same(tmp_path)


def test_the_only_weights_of_a_folder_are_taken_whatever_their_name(tmp_path: Path) -> None:
    shutil.copy(SAVED / "config.json", tmp_path)
    torch.save({"model": STATE}, tmp_path / "best.pth")
    (tmp_path / "optimizer.pt").write_bytes(b"")
    same(tmp_path)


Wrong = Callable[[Path, dict[str, str]], object]
FAULTS: dict[str, tuple[Wrong, str]] = {
    "another folder": (
        lambda folder, parts: write_index(folder, {**parts, "a": "../model.safetensors"}),
        "leads to another folder",
    ),
    "an absolute path": (
        lambda folder, parts: write_index(folder, {**parts, "a": "/etc/passwd"}),
        "leads to another folder",
    ),
    "a missing part": (
        lambda folder, parts: (folder / parts["classifier.bias"]).unlink(),
        "which is not there",
    ),
    "a tensor too many": (
        lambda folder, parts: write_index(folder, {**parts, "a": next(iter(parts.values()))}),
        "the parts and their index differ in a",
    ),
    "a tensor twice": (
        lambda folder, parts: save_file(STATE, folder / parts["classifier.bias"]),
        "parts of a model with the same tensors",
    ),
    "no parts": (lambda folder, parts: write_index(folder, {}), "names 0 files"),
    "too many parts": (
        lambda folder, parts: write_index(folder, {f"t{n}": f"{n}.safetensors" for n in range(300)}),
        "names 300 files, of at most 200",
    ),
    "no names": (lambda folder, parts: write_index(folder, {"a": 3}), "weight_map.a must be a string"),
    "no JSON": (lambda folder, parts: (folder / INDEX).write_text("{"), "it is not JSON"),
}


@pytest.mark.parametrize("wrong", FAULTS)
def test_a_wrong_index_is_refused(wrong: str, tmp_path: Path) -> None:
    spoil, said = FAULTS[wrong]
    spoil(tmp_path, in_parts(tmp_path))
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path)
    assert said in caught.value.message
    assert caught.value.hint


def test_a_folder_of_several_checkpoints_is_not_guessed_at(tmp_path: Path) -> None:
    for name in ("a.pth", "b.pth"):
        torch.save(STATE, tmp_path / name)
    with pytest.raises(CheckpointError, match=r"it has several files of weights: a\.pth, b\.pth"):
        load_checkpoint(tmp_path)


def test_a_folder_of_runs_names_those_with_weights(tmp_path: Path) -> None:
    shutil.copytree(SAVED, tmp_path / "checkpoint-500")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path)
    assert "Its folders with weights: checkpoint-500" in caught.value.hint


def test_a_config_of_another_model_is_not_obeyed_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(SAVED, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "depths": [3, 3, 9, 3]}))
    caplog.set_level("INFO", logger="convnext_edge")
    assert load_source(None, tmp_path).classes == ()
    assert "config.json is not obeyed: it tells of no ConvNeXt with these shapes" in caplog.text


@pytest.mark.parametrize(
    ("problem", "task"),
    [
        ("multi_label_classification", "multilabel"),
        ("regression", "regress"),
        ("single_label_classification", "classify"),
    ],
)
def test_what_logits_mean_is_as_the_config_says(problem: str, task: str, tmp_path: Path) -> None:
    shutil.copytree(SAVED, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "problem_type": problem}))
    assert load_checkpoint(tmp_path).task == task


# --- names of classes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "names", "said"),
    [
        ({"id2label": {"1": "dog", "0": "cat"}}, ("cat", "dog"), ""),
        ({"label_names": ["cat", "dog"]}, ("cat", "dog"), ""),
        ({"label_names": {"0": "cat", "1": "dog"}}, ("cat", "dog"), ""),
        ({"pretrained_cfg": {"label_names": ["cat", "dog"]}}, ("cat", "dog"), ""),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, (), ""),
        ({"id2label": {"0": "cat", "1": "dog"}, "label2id": {"dog": "1", "cat": 0}}, ("cat", "dog"), ""),
        ({"id2label": {"0": "cat", "1": "dog"}, "label2id": {"tench": 0, "cat": 1}}, ("cat", "dog"), ""),
        ({"id2label": {"0": "cat", "1": "dog"}, "label2id": {"cat": 1, "dog": 0}}, (), "label2id contradict"),
        ({"id2label": {"0": "crane", "1": "crane"}, "label2id": {"crane": 1}}, ("crane", "crane"), ""),
        ({}, (), ""),
        ({"id2label": {"0": "cat", "2": "dog"}}, (), "the ids in id2label are not 0, 1, 2 and so on"),
        ({"id2label": {"0": "cat"}}, (), "it names 1 classes, the model has 2"),
        ({"id2label": {"0": "cat", "1": "a\nb"}}, (), "the name of class 1 is no line of text"),
        ({"id2label": {"0": "cat", "1": 2}}, (), "id2label.1 must be a string"),
        ({"label_names": ["cat", "dog"], "label_offset": 1}, (), "its label_offset is 1"),
    ],
)
def test_names_of_classes_are_taken_where_they_are_exactly_one_for_each(
    config: Any, names: tuple[str, ...], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="convnext_edge")
    assert names_of_config(Config(tmp_path / "config.json", config), 2).names == names
    assert said in caplog.text
    assert bool(caplog.text) == bool(said)


# --- the hub ---------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    files = {path.name: path.read_bytes() for path in SAVED.iterdir()}
    served = LocalHub("org/animals", files)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", served.endpoint)
    monkeypatch.setattr(
        huggingface_hub.constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        served.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
    )
    yield served
    served.stop()


def test_a_repository_is_downloaded_with_its_configs_and_named_after_it(hub: LocalHub) -> None:
    found = locate(Path("hf:org/animals"))
    assert (found.title, found.name, found.revision) == ("hf:org/animals", "animals", COMMIT)
    assert (found.folder / "preprocessor_config.json").is_file()
    same(Path("hf:org/animals"))
    assert load_source(None, Path("hf:org/animals")).stem == "animals"


def test_a_revision_is_asked_for_first_and_its_commit_then(hub: LocalHub) -> None:
    locate(Path("hf:org/animals@v1.0"))
    asked = [line.split("/resolve/")[1] for line in hub.requests]
    assert asked[0] == "v1.0/config.json"
    assert asked[-1] == f"{COMMIT}/model.safetensors"


def test_a_repository_with_parts_or_without_a_config_is_read(hub: LocalHub, tmp_path: Path) -> None:
    in_parts(tmp_path / "parts")
    hub.files = {path.name: path.read_bytes() for path in (tmp_path / "parts").iterdir()}
    same(Path("hf:org/animals"))


def test_without_an_answer_the_cache_is_used(hub: LocalHub) -> None:
    same(Path("hf:org/animals"))
    hub.stop()
    same(Path("hf:org/animals"))


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("hf:org", UsageError, "names no repository of the hub"),
        ("hf:org/a/b", UsageError, "names no repository of the hub"),
        ("hf:org/animals@", UsageError, "names no repository of the hub"),
        ("hf:org/plants", DownloadError, "no weights of org/plants could be had"),
    ],
)
def test_what_is_no_repository_is_refused(
    name: str, kind: type[ConvNeXtEdgeError], said: str, hub: LocalHub
) -> None:
    with pytest.raises(kind, match=said) as caught:
        locate(Path(name))
    assert caught.value.hint
