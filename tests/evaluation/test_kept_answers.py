"""Answers of the reference are kept, and never mixed up."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file
from support.models import Models

from convnext_edge import validate
from convnext_edge.artifacts.store import open_artifact
from convnext_edge.errors import TargetError
from convnext_edge.evaluation import kept_answers
from convnext_edge.evaluation.comparison import check_alike
from convnext_edge.evaluation.kept_answers import KeptAnswers, read_answers, reference_key
from convnext_edge.targets.base import Images, Outputs


class Counted:
    """A reference of two outputs, which counts the images that it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, images: Images) -> Outputs:
        self.asked += len(images)
        sums = images.sum((2, 3))
        return sums, sums[:, :1] * 2


def images(*values: float) -> Images:
    return np.stack([np.full((3, 4, 4), value, np.float32) for value in values])


def test_what_was_answered_before_is_not_computed_again_in_any_order(tmp_path: Path) -> None:
    reference, path = Counted(), tmp_path / "r.safetensors"
    first = KeptAnswers(reference, path)
    first(images(1, 2, 3))
    first.keep()
    second = KeptAnswers(reference, path)
    found = second(images(3, 4, 1, 4))
    assert reference.asked == 3 + 2
    assert second.known == 2
    for output, expected in zip(found, Counted()(images(3, 4, 1, 4)), strict=True):
        assert np.array_equal(output, expected)


def test_two_commands_side_by_side_keep_the_answers_of_both(tmp_path: Path) -> None:
    path = tmp_path / "r.safetensors"
    one, other = KeptAnswers(Counted(), path), KeptAnswers(Counted(), path)
    one(images(1)), other(images(2))
    one.keep(), other.keep()
    assert len(read_answers(path)) == 2


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\xff" * 8])
def test_answers_of_a_damaged_file_are_computed_again(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.safetensors"
    path.write_bytes(content)
    answers = KeptAnswers(Counted(), path)
    answers(images(1))
    answers.keep()
    assert answers.known == 0
    assert len(read_answers(path)) == 1


def test_no_byte_of_a_file_can_change_an_answer(tmp_path: Path) -> None:
    path, asked = tmp_path / "r.safetensors", images(1, 2)
    first = KeptAnswers(Counted(), path)
    expected = first(asked)
    first.keep()
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x20]) + whole[place + 1 :])
        for output, right in zip(KeptAnswers(Counted(), path)(asked), expected, strict=True):
            assert np.array_equal(output, right), place


@pytest.mark.parametrize("kept", [{}, {"pixels": np.zeros((1, 32), np.uint8)}])
def test_tensors_that_we_did_not_write_are_no_answers(
    tmp_path: Path, kept: dict[str, NDArray[np.uint8]]
) -> None:
    path = tmp_path / "r.safetensors"
    save_file(kept, path)
    assert read_answers(path) == {}


TWO = np.arange(64, dtype=np.uint8).reshape(2, 32)
ROWS = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"output0": ROWS},
        {"pixels": TWO},
        {"pixels": TWO[0], "output0": ROWS},
        {"pixels": TWO[:, :31], "output0": ROWS},
        {"pixels": TWO.astype(np.int64), "output0": ROWS},
        {"pixels": TWO, "output0": ROWS[:1]},
        {"pixels": TWO, "output0": ROWS, "output1": ROWS[:1]},
        {"pixels": TWO, "output0": ROWS[:, 0]},
        {"pixels": TWO, "output0": ROWS.astype(np.int64)},
        {"pixels": TWO, "output0": ROWS * np.nan},
    ],
)
def test_a_seal_makes_no_answers_of_other_tensors(tmp_path: Path, kept: dict[str, NDArray[Any]]) -> None:
    path = tmp_path / "r.safetensors"
    save_file({**kept, "seal": np.frombuffer(kept_answers.seal(kept), np.uint8)}, path)
    assert read_answers(path) == {}


def test_answers_of_another_model_are_computed_again(tmp_path: Path) -> None:
    path, asked = tmp_path / "r.safetensors", images(1, 2, 3)
    other = {kept_answers.digest(image): (np.ones(5, np.float32),) for image in asked[:2]}
    path.write_bytes(kept_answers.answers_file(other))
    answers = KeptAnswers(Counted(), path)
    found = answers(asked)
    for output, expected in zip(found, Counted()(asked), strict=True):
        assert np.array_equal(output, expected)
    assert answers.known == 0


def test_where_none_is_computed_answers_of_another_model_are_an_error() -> None:
    with pytest.raises(TargetError, match=r"answers an image with \[\(5,\)\] numbers") as caught:
        check_alike((np.ones((2, 5), np.float32),), (ROWS,))
    assert "`answers`" in (caught.value.hint or "")


def test_large_answers_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_answers, "LARGEST", 15)  # of the 16 bytes of one
    answers = KeptAnswers(Counted(), tmp_path / "r.safetensors")
    assert len(answers(images(1, 2))[0]) == 2
    answers.keep()
    assert not answers.path.exists()


def test_the_files_take_no_more_than_they_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def keep(name: str) -> None:
        answers = KeptAnswers(Counted(), tmp_path / f"{name}.safetensors")
        answers(images(*range(20)))
        answers.keep()

    keep("old")
    size = (tmp_path / "old.safetensors").stat().st_size
    monkeypatch.setattr(kept_answers, "MOST", 2 * size)
    keep("middle")
    keep("new")
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["middle", "new"]


def test_each_architecture_has_answers_of_its_own(models: Models) -> None:
    artifact = open_artifact(models.exported())
    described = artifact.description
    other = replace(described, architecture=replace(described.architecture, activation="relu"))
    assert reference_key(artifact) != reference_key(replace(artifact, description=other))


def test_a_second_validation_finds_the_same(models: Models, photos: Path, tmp_path: Path) -> None:
    def run(limit: int | None) -> dict[str, object]:
        given = {"target": "onnxruntime", "data": str(photos), "workspace": tmp_path}
        return asdict(validate(models.quantized(), limit=limit, **given))  # type: ignore[arg-type]

    first, second = run(16), run(16)
    assert (first.pop("reference_known"), second.pop("reference_known")) == (0, 16)
    assert first == second
    assert run(None)["reference_known"] == 16
