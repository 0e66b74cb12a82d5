"""predict: models of other tasks than classification, and the files that keep what they answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from safetensors import safe_open
from support.command_line import run
from support.models import CHECKPOINT, RESOLUTION

from convnext_edge import export, predict
from convnext_edge.artifacts.artifact import Description
from convnext_edge.commands.predict import outputs as keeping
from convnext_edge.commands.predict.answers import cosines, make_reader, sigmoid, softmax
from convnext_edge.errors import ArtifactError, ImageSetError, UsageError
from convnext_edge.images.batches import Batch
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.tasks import Task

pytestmark = pytest.mark.slow


class Exports:
    """The small model with its head taken for other tasks, each exported once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: dict[str, Path] = {}

    def __call__(self, task: Task, *, with_map: bool = False) -> Path:
        key = f"{task}-{with_map}"
        if key not in self.made:
            workspace = self.folder / key
            made = export(
                checkpoint=CHECKPOINT,
                resolution=RESOLUTION,
                task=task,
                with_map=with_map,
                workspace=workspace,
            )
            self.made[key] = made.artifact
        return self.made[key]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    return Exports(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module")
def three(photos: Path) -> list[Path]:
    return [photos / f"class{number}" / f"{number}.png" for number in range(3)]


def by_onnx_runtime(model: Path, paths: list[Path]) -> dict[str, np.ndarray]:
    """All outputs of an ONNX file, run without us on the images as `validate` prepares them."""
    sets = [open_image_set(path.parent) for path in paths]
    preprocessing = Preprocessing(resolution=RESOLUTION)
    images = []
    for path, group in zip(paths, sets, strict=True):
        (batch,) = group.batches(preprocessing, batch=len(group), dtype="float32")
        images.append(batch.images[batch.names.index(path.name)])
    session = onnxruntime.InferenceSession(model)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"image": np.stack(images)}), strict=True))


def test_an_embedding_has_its_norm_and_the_cosines_with_the_others(
    exports: Exports, three: list[Path]
) -> None:
    model = exports("embed")
    expected = by_onnx_runtime(model, three)["embedding"]
    found = predict(model, three, target="onnxruntime")
    assert found.outputs["embedding"] == pytest.approx(expected, abs=1e-4)
    assert [row.norm for row in found.predictions] == pytest.approx(np.sqrt((expected**2).sum(1)), rel=1e-4)
    assert found.cosines is not None
    for i, j in ((0, 1), (1, 2), (2, 0)):
        dot = sum(float(a) * float(b) for a, b in zip(expected[i], expected[j], strict=True))
        size = np.sqrt((expected[i] ** 2).sum() * (expected[j] ** 2).sum())
        assert found.cosines[i][j] == pytest.approx(dot / size, abs=1e-4)
    assert [found.cosines[i][i] for i in range(3)] == pytest.approx([1, 1, 1])
    row = found.to_json()["predictions"][1]
    assert row.keys() == {"picture", "norm", "embedding"}
    assert row["embedding"] == pytest.approx(expected[1].tolist(), abs=1e-4)
    assert "cosine" in found.summary()


def test_more_pictures_than_fit_a_table_have_no_cosines(exports: Exports, photos: Path) -> None:
    found = predict(exports("embed"), photos)
    assert found.cosines is None
    assert predict(exports("embed"), photos / "class0" / "0.png").cosines is None


def test_the_shapes_of_maps_are_told(exports: Exports, three: list[Path]) -> None:
    found = predict(exports("features"), three, target="onnxruntime")
    expected = by_onnx_runtime(exports("features"), three)
    for row in found.predictions:
        assert row.shapes == {name: output.shape[1:] for name, output in expected.items()}
    assert "map0 16x16x16  map1 24x8x8  map2 32x4x4  map3 48x2x2" in found.summary()
    assert json.loads(json.dumps(found.to_json()))["predictions"][0]["shapes"]["map3"] == [48, 2, 2]
    both = predict(exports("embed", with_map=True), three[0])
    assert both.predictions[0].shapes == {"map": (48, 2, 2)}
    assert both.to_json()["predictions"][0].keys() == {"picture", "norm", "embedding", "shapes"}


def test_values_are_told_as_they_are(exports: Exports, three: list[Path]) -> None:
    found = predict(exports("regress"), three, target="onnxruntime")
    expected = by_onnx_runtime(exports("regress"), three)["values"]
    assert [row.values for row in found.predictions] == [pytest.approx(row, rel=1e-4) for row in expected]
    assert found.to_json()["predictions"][0].keys() == {"picture", "values"}


@pytest.mark.parametrize("threshold", [None, 0.7, 1.0])
def test_labels_are_all_that_exceed_the_threshold(
    exports: Exports, three: list[Path], threshold: float | None
) -> None:
    found = predict(exports("multilabel"), three, threshold=threshold, target="onnxruntime")
    expected = 1 / (1 + np.exp(-by_onnx_runtime(exports("multilabel"), three)["logits"].astype(np.float64)))
    assert found.threshold == (0.5 if threshold is None else threshold)
    for row, wanted in zip(found.predictions, expected, strict=True):
        assert {top.index for top in row.top} == set(np.flatnonzero(wanted > found.threshold))
        told = [top.probability for top in row.top]
        assert told == sorted(told, reverse=True)
        assert told == [pytest.approx(wanted[top.index], rel=1e-4) for top in row.top]
    if threshold == 1.0:
        assert "no label over 100.0%" in found.summary()


def test_the_likeliest_labels_alone_are_told_where_that_is_asked_for(
    exports: Exports, three: list[Path]
) -> None:
    everything = predict(exports("multilabel"), three, threshold=0.0).predictions
    first = predict(exports("multilabel"), three, threshold=0.0, top=2).predictions
    assert [row.top for row in first] == [row.top[:2] for row in everything]


@pytest.mark.parametrize("option", [{"top": 3}, {"threshold": 0.5}, {"classes": Path("names.txt")}])
@pytest.mark.parametrize("task", ["embed", "regress", "features"])
def test_options_of_classes_mean_nothing_to_other_tasks(
    exports: Exports, three: list[Path], task: Task, option: dict[str, object]
) -> None:
    with pytest.raises(UsageError, match=f"means nothing to a model of the task {task}"):
        predict(exports(task), three, **option)  # type: ignore[arg-type]


# Arithmetic


def test_probabilities_hold_for_logits_of_any_size() -> None:
    logits = np.array([[1000.0, 999.0, -1000.0], [-1e30, -1e30, -1e30]], np.float32)
    assert softmax(logits)[0] == pytest.approx([1 / (1 + np.exp(-1)), 1 / (1 + np.e), 0])
    assert softmax(logits)[1] == pytest.approx([1 / 3] * 3)
    assert sigmoid(np.array([[-1e4, 0, 1e4, 1]], np.float32))[0] == pytest.approx([0, 0.5, 1, 0.7310586])


def test_an_embedding_of_zeros_has_no_direction() -> None:
    assert cosines(np.array([[0, 0], [3, 4]], np.float32)) == ((0, 0), (0, 1))


def test_of_equal_classes_the_first_comes_first() -> None:
    from support.small_artifacts import DESCRIPTION

    reader = make_reader(described_with_classes(DESCRIPTION, 4), 3, None, None)
    image, label = np.zeros((1, 3, 1, 1), np.uint8), np.zeros(1, np.int64)
    (row,) = reader.read(Batch(image, label, ("one",)), (np.array([[1, 2, 2, 1]], np.float32),))
    assert [top.index for top in row.top] == [1, 2, 0]


def described_with_classes(description: Description, count: int) -> Description:
    from dataclasses import replace

    return replace(description, architecture=replace(description.architecture, classes=count))


# Files


def test_a_npy_file_holds_the_output_of_what_could_be_read(
    exports: Exports, three: list[Path], tmp_path: Path
) -> None:
    file = tmp_path / "made" / "vectors.npy"
    given = [three[0], tmp_path / "nowhere.png", *three[1:]]
    found = predict(exports("embed"), given, save=file)
    assert found.saved == file
    saved = np.load(file)
    assert saved.dtype == np.float32
    assert np.array_equal(saved, found.outputs["embedding"])
    assert len(saved) == len(found.predictions) == 3
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name]
    predict(exports("embed"), three[:1], save=file)  # its own file is replaced
    assert np.load(file).shape == (1, 48)


@pytest.mark.parametrize(("task", "with_map"), [("features", False), ("embed", True), ("classify", False)])
def test_a_safetensors_file_holds_all_outputs_and_names_the_pictures(
    exports: Exports, photos: Path, tmp_path: Path, task: Task, with_map: bool
) -> None:
    file = tmp_path / "outputs.safetensors"
    model = exports(task, with_map=with_map)
    found = predict(model, photos, save=file)
    with safe_open(file, "numpy") as saved:
        assert set(saved.keys()) == set(found.outputs)
        for name, output in found.outputs.items():
            assert np.array_equal(saved.get_tensor(name), output)
        told = saved.metadata()
    assert json.loads(told["pictures"]) == [row.picture for row in found.predictions]
    assert (told["model"], told["task"]) == (model.name, task)
    predict(model, photos, save=file)
    assert sorted(path.name for path in tmp_path.iterdir()) == [file.name]


def test_one_array_does_not_hold_several_outputs(exports: Exports, three: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds one output, and this model has embedding, map"):
        predict(exports("embed", with_map=True), three, save=tmp_path / "both.npy")


@pytest.mark.parametrize("name", ["text.npy", "table.npy", "weights.safetensors", "folder.npy"])
def test_no_file_of_somebody_else_is_replaced(
    exports: Exports, three: list[Path], tmp_path: Path, name: str
) -> None:
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "folder.npy").mkdir()
    np.save(tmp_path / "table.npy", np.zeros((2, 48), np.float32))
    (tmp_path / "weights.safetensors").write_bytes(CHECKPOINT.read_bytes())
    place = tmp_path / name
    before = place.read_bytes() if place.is_file() else None
    with pytest.raises(UsageError, match="would take the place of a file that predict did not write"):
        predict(exports("embed"), three, save=place)
    assert place.is_dir() or place.read_bytes() == before


def test_a_run_that_fails_leaves_no_file(exports: Exports, tmp_path: Path) -> None:
    file = tmp_path / "made" / "vectors.npy"
    with pytest.raises(ImageSetError):
        predict(exports("embed"), tmp_path / "nowhere.png", save=file)
    assert not file.parent.exists()


def test_a_place_that_cannot_be_written_is_an_error(
    exports: Exports, three: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match="cannot write"):
        predict(exports("embed"), three, save=tmp_path / "file" / "vectors.npy")


def test_outputs_that_are_too_large_for_memory_are_in_the_file_alone(
    exports: Exports, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = predict(exports("embed"), photos)
    monkeypatch.setattr(keeping, "MOST_BYTES", 40 * 48 * 4 - 1)
    found = predict(exports("embed"), photos, save=tmp_path / "vectors.npy")
    with pytest.raises(UsageError, match="the outputs of 40 pictures are too large"):
        _ = found.outputs
    assert np.array_equal(np.load(tmp_path / "vectors.npy"), whole.outputs["embedding"])
    assert found.predictions == whole.predictions
    assert found.to_json()["predictions"][0].keys() == {"picture", "norm"}
    monkeypatch.setattr(keeping, "MOST_BYTES", 40 * 48 * 4)
    assert predict(exports("embed"), photos).outputs["embedding"].shape == (40, 48)


def test_the_terminal_says_where_the_outputs_are(exports: Exports, three: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "vectors.npy"
    assert (
        f"saved     {file}, in this order" in run("predict", exports("embed"), *three, "--save", file).stdout
    )
    assert "--save FILE.safetensors keeps them" in run("predict", exports("embed"), *three).stdout
