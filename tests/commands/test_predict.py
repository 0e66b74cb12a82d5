"""predict: what a classifier answers to pictures, held against Pillow, NumPy and ONNX Runtime by hand."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from support.command_line import Run, commands_in, said
from support.models import CHECKPOINT, Models
from support.small_artifacts import edit_sidecar

from convnext_edge import export, predict
from convnext_edge.artifacts.sidecar import sidecar_path
from convnext_edge.commands.predict.result import Prediction
from convnext_edge.errors import ArtifactError, ImageSetError, TargetError, UsageError
from convnext_edge.targets.onnxruntime import ONNXRuntimeSession

pytestmark = pytest.mark.slow
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model, whose images have 32 x 32 pixels, squashed from any size."""
    return export("demo", workspace=tmp_path_factory.mktemp("demo")).artifact


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    with commands_in(tmp_path, monkeypatch) as run_there:
        yield run_there


@pytest.fixture
def some(tmp_path: Path) -> list[Path]:
    """Pictures of several kinds and sizes."""
    generator = np.random.default_rng(1)
    made = []
    for name, mode, size in (
        ("photo.jpg", "RGB", (90, 60)),
        ("gray.png", "L", (33, 50)),
        ("with alpha.png", "RGBA", (20, 31)),
        ("one pixel.bmp", "RGB", (1, 1)),
    ):
        colours = Image.fromarray(generator.integers(0, 256, (5, 5, 3), np.uint8))
        colours.resize(size, Image.Resampling.BICUBIC).convert(mode).save(tmp_path / name)
        made.append(tmp_path / name)
    return made


def by_hand(model: Path, pixels: np.ndarray) -> np.ndarray:
    """Softmax of what ONNX Runtime makes of (H, W, 3) pixels, normalized as CIFAR-10's usual values are."""
    mean, std = np.array([0.4914, 0.4822, 0.4465]), np.array([0.247, 0.2435, 0.2616])
    image = ((pixels / 255 - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)
    (logits,) = onnxruntime.InferenceSession(model).run(None, {"image": image})
    powers = np.exp(logits[0].astype(np.float64))
    return powers / powers.sum()


def probabilities(row: Prediction) -> np.ndarray:
    """The probabilities in the order of the classes."""
    return np.array([top.probability for top in sorted(row.top, key=lambda top: top.index)])


def test_the_answers_are_those_that_a_few_lines_of_pillow_and_onnx_runtime_give(
    demo: Path, some: list[Path]
) -> None:
    found = predict(demo, some, top=10, target="onnxruntime")
    assert [row.picture for row in found.predictions] == [str(path) for path in some]
    for path, row in zip(some, found.predictions, strict=True):
        squashed = Image.open(path).convert("RGB").resize((32, 32), Image.Resampling.BICUBIC)
        expected = by_hand(demo, np.asarray(squashed))
        assert probabilities(row) == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert [top.index for top in row.top] == np.argsort(-expected).tolist()
        assert all(top.label == CIFAR10[top.index] for top in row.top)


def test_five_classes_are_told_or_as_many_as_asked_for(demo: Path, some: list[Path]) -> None:
    assert len(predict(demo, some[0]).predictions[0].top) == 5
    assert len(predict(demo, some[0], top=2).predictions[0].top) == 2
    assert len(predict(demo, some[0], top=99).predictions[0].top) == 10


def test_crop_and_bytes_are_the_models_own(models: Models, photos: Path) -> None:
    """A model of 64 pixels with crop 0.875: the shorter edge becomes 73, the longer one is cut off."""
    path = photos / "class3" / "3.png"  # 88 x 80
    image = Image.open(path).resize((80, 73), Image.Resampling.BICUBIC).crop((8, 4, 72, 68))
    model = models.exported("uint8")
    pixels = np.asarray(image).transpose(2, 0, 1)[None]
    (logits,) = onnxruntime.InferenceSession(model).run(None, {"image": pixels})
    for artifact in (model, models.exported()):
        found = predict(artifact, path, target="onnxruntime").outputs["logits"]
        assert found == pytest.approx(logits, abs=1e-4)


def test_every_kind_of_artifact_answers(models: Models, photos: Path) -> None:
    fp32 = predict(models.exported(), photos, target="onnxruntime").outputs["logits"]
    weights = models.workspace / f"{CHECKPOINT.stem}.safetensors"
    by_pytorch = predict(weights, photos)
    assert by_pytorch.target == "torch"
    assert by_pytorch.outputs["logits"] == pytest.approx(fp32, abs=1e-4)
    int8 = models.quantized()
    for artifact in (int8, models.engine("openvino", int8)):
        found = predict(artifact, photos)
        assert found.target == "openvino"
        error = found.outputs["logits"] - fp32
        assert 10 * np.log10(np.square(fp32).sum() / np.square(error).sum()) > 20


def test_a_picture_among_many_has_the_answer_that_it_has_alone(models: Models, photos: Path) -> None:
    paths = sorted(photos.glob("*/*.png"))[:19]  # three batches, the last of three pictures
    twice = [*paths, paths[0]]
    together = predict(models.exported(), twice, top=1, target="onnxruntime")
    assert [row.picture for row in together.predictions] == [str(path) for path in twice]
    assert together.predictions[-1] == together.predictions[0]
    for place in (0, 8, 18):
        alone = predict(models.exported(), paths[place], top=1, target="onnxruntime")
        row = together.predictions[place]
        assert row.top[0].index == alone.predictions[0].top[0].index
        assert together.outputs["logits"][place] == pytest.approx(alone.outputs["logits"][0], abs=1e-5)


def test_images_and_arrays_of_python_are_pictures(demo: Path, some: list[Path]) -> None:
    image = Image.open(some[0])
    found = predict(demo, [image, some[0], np.asarray(image)])
    assert [row.picture for row in found.predictions] == ["pictures[0]", str(some[0]), "pictures[2]"]
    assert len({row.top for row in found.predictions}) == 1
    assert predict(demo, image).predictions[0].top == found.predictions[0].top


# Which argument is the model


def test_without_a_model_the_newest_is_taken_and_named(run: Run, demo: Path, some: list[Path]) -> None:
    done = run("predict", *some, "--workspace", demo.parent, "--json")
    assert f"taking {demo}, the newest model of the workspace" in said(done)
    found = json.loads(done.stdout)
    assert (found["artifact"], found["pictures"]) == (str(demo), 4)
    assert [row["picture"] for row in found["predictions"]] == [str(path) for path in some]
    assert [top["label"] for top in found["predictions"][0]["top"]] == [
        top.label for top in predict(demo, some[0]).predictions[0].top
    ]


def test_a_picture_with_a_file_like_a_sidecar_is_a_picture(demo: Path, some: list[Path]) -> None:
    """Google Takeout writes one beside each photograph."""
    sidecar_path(some[0]).write_text('{"title": "photo.jpg"}')
    assert len(predict(some[0], workspace=demo.parent).predictions) == 1


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ((), "no picture is named"),
        (("{demo}",), "is a model, and no picture is named"),
        (("photo.jpg", "{demo}"), "is a model, and stands where pictures are named"),
        (("{demo}", "photo.jpg", "--threshold", "0.5"), "--threshold means nothing to a model of the task"),
        (("{demo}", "photo.jpg", "--top", "0"), "--top"),
        (("{demo}", "photo.jpg", "--save", "answers.txt"), "ends in neither .npy nor .safetensors"),
        (("{demo}", ""), "it is empty"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(
    run: Run, demo: Path, some: list[Path], arguments: tuple[str, ...], what: str
) -> None:
    done = run("predict", *[text.format(demo=demo) for text in arguments])
    assert (done.exit_code, done.stdout) == (2, "")
    assert what in said(done)


@pytest.mark.parametrize("name", ["nowhere.onnx", "my-model.pth"])
def test_a_model_that_is_none_of_ours_is_refused_as_a_model(some: list[Path], name: str) -> None:
    with pytest.raises(ArtifactError, match=f"{name} does not exist"):
        predict(name, some)


# What cannot be read, or relied on


def test_broken_pictures_are_named_and_do_not_stop_the_others(run: Run, demo: Path, some: list[Path]) -> None:
    Path("broken.png").write_bytes(b"no image")
    given = ("predict", demo, "broken.png", some[0], "nowhere.jpg", some[1])
    done = run(*given, "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert [row["picture"] for row in found["predictions"]] == [str(some[0]), str(some[1])]
    assert [row["picture"] for row in found["failed"]] == ["broken.png", "nowhere.jpg"]
    assert "NOT read: broken.png: it is no image of a known kind" in said(done)
    assert "NOT read: nowhere.jpg: there is no such file" in said(done)
    assert "2 of 4" in run(*given).stdout


def test_nothing_that_can_be_read_is_an_error(run: Run, demo: Path) -> None:
    done = run("predict", demo, "nowhere.jpg", "neither.jpg", "--json")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "none of 2 pictures can be read, such as nowhere.jpg: there is no such file" in said(done)
    with pytest.raises(ImageSetError, match="there is no such file"):
        predict(demo, "nowhere.jpg")


def test_many_broken_pictures_do_not_fill_the_screen(run: Run, demo: Path, some: list[Path]) -> None:
    done = run("predict", demo, some[0], *[f"nowhere{number}.jpg" for number in range(15)])
    assert done.stderr.count("there is no such file") == 10
    assert "NOT read: 5 more, which --json names" in said(done)


def test_a_model_that_did_not_pass_is_said_to_be_so(tmp_path: Path, demo: Path, some: list[Path]) -> None:
    model = Path(shutil.copy(demo, tmp_path))
    shutil.copy(sidecar_path(demo), tmp_path)
    verdict = {"passed": False, "gates": ["drop"], "unmet": ["drop (9 points lost)"], "warnings": []}
    edit_sidecar(model, verdict=verdict)
    (warning,) = predict(model, some).warnings
    assert "did not pass when it was made: drop (9 points lost)" in warning
    assert predict(demo, some).warnings == ()


def test_a_photograph_that_is_stored_turned_is_warned_of(demo: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(tmp_path / "turned.jpg", exif=exif)
    (warning,) = predict(demo, tmp_path / "turned.jpg").warnings
    assert "EXIF says that 1 of the pictures" in warning


def test_an_answer_that_is_no_number_is_an_error(
    demo: Path, some: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nan(_session: object, images: np.ndarray) -> tuple[np.ndarray, ...]:
        return (np.full((len(images), 10), np.nan, np.float32),)

    monkeypatch.setattr(ONNXRuntimeSession, "_run", nan)
    with pytest.raises(TargetError, match=r"answers with NaN or infinity to .*photo\.jpg"):
        predict(demo, some, target="onnxruntime")


# Options and memory


def test_names_of_classes_are_those_of_a_file_or_else_their_indices(
    models: Models, photos: Path, tmp_path: Path
) -> None:
    file = tmp_path / "names.txt"
    file.write_text("".join(f"name {letter}\n" for letter in "abcdefghij"))
    picture = photos / "class0" / "0.png"
    plain = predict(models.exported(), picture).predictions[0].top
    named = predict(models.exported(), picture, classes=file).predictions[0].top
    assert all(top.label == str(top.index) for top in plain)
    assert [top.label for top in named] == [f"name {'abcdefghij'[top.index]}" for top in plain]
    file.write_text("cat\ndog\n")
    with pytest.raises(UsageError, match="names 2 classes, the model has 10"):
        predict(models.exported(), picture, classes=file)


def test_a_picture_is_piped_in(
    run: Run, demo: Path, some: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(some[0].read_bytes())))
    (piped,) = predict(demo, "-").predictions
    assert piped.picture == "-"
    assert piped.top == predict(demo, some[0]).predictions[0].top


def test_pictures_are_read_as_the_model_gets_to_them(
    demo: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were all read first, 50,000 pictures would not fit into memory."""
    from convnext_edge.images import pictures

    read: list[str] = []
    seen: list[int] = []
    usual_read, usual_run = pictures._read_file, ONNXRuntimeSession._run
    monkeypatch.setattr(pictures, "_read_file", lambda path: read.append(path.name) or usual_read(path))

    def run_counted(session: ONNXRuntimeSession, images: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.append(len(read))
        return usual_run(session, images)

    monkeypatch.setattr(ONNXRuntimeSession, "_run", run_counted)
    monkeypatch.setattr("convnext_edge.commands.predict.run.default_workers", lambda: 2)
    paths = sorted(photos.glob("*/*.png"))
    predict(demo, [*paths, *paths], target="onnxruntime")
    assert seen[0] <= 8 + 8 + 2 + 2  # a batch, the next one, and what two threads have in hand
    assert len(read) == 2 * len(paths)
