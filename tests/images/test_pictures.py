"""Pictures as people name them: what each path stands for, and in which order."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.needs import package

from convnext_edge.errors import ImageSetError, UsageError
from convnext_edge.images.batches import LoadedImage, SkippedImage
from convnext_edge.images.pictures import Given, Loader, find_pictures, names_pictures
from convnext_edge.images.preprocessing import Preprocessing

SMALL = Preprocessing(resolution=32)
ORIENTATION = 0x0112


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(path: str, colour: int = 0) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 36), (colour, 100, 200)).save(path)
    return path


def names(*given: Given) -> list[str]:
    return [picture.name for picture in find_pictures(given)]


def load(item: Given) -> LoadedImage | SkippedImage:
    (picture,) = find_pictures([item])
    return Loader(SMALL).load(picture)


def reason(item: Given) -> str:
    found = load(item)
    assert isinstance(found, SkippedImage)
    return found.reason


def test_pictures_are_in_the_order_asked_for_and_a_folder_is_all_below_it() -> None:
    for path in ("z.png", "a.png", "set/b/2.png", "set/b/1.png", "set/0.jpg", "set/.hidden.png"):
        save(path)
    assert names("z.png", "set", "a.png", "z.png") == [
        *("z.png", "set/0.jpg", "set/b/1.png", "set/b/2.png", "a.png", "z.png")
    ]
    assert names("set/") == ["set/0.jpg", "set/b/1.png", "set/b/2.png"]


def test_an_archive_is_the_pictures_inside() -> None:
    with zipfile.ZipFile("some.zip", "w") as archive:
        for name in ("b.png", "deep/down/a.png", "notes.txt"):
            archive.write(save("one.png"), name)
    assert names("some.zip") == ["some.zip/b.png", "some.zip/deep/down/a.png"]


def test_a_parquet_file_is_its_rows_in_their_order() -> None:
    needed = "pip install 'convnext-edge[parquet]'"
    pyarrow, parquet = package("pyarrow", needed), package("pyarrow.parquet", needed)
    images = [{"bytes": Path(save(name)).read_bytes(), "path": name} for name in ("z.png", "a.png")]
    parquet.write_table(pyarrow.table({"image": images}), "rows.parquet")
    assert names("rows.parquet") == ["rows.parquet/z.png", "rows.parquet/a.png"]


def test_an_image_set_is_known_by_name_unless_a_file_has_it() -> None:
    assert len(names("demo")) == 1000
    save("demo/mine.png")
    assert names("demo") == ["demo/mine.png"]


def test_what_a_folder_holds_beside_pictures_is_told(caplog: pytest.LogCaptureFixture) -> None:
    save("set/1.png")
    for name in ("a.heic", "b.heic", "notes.txt", "LICENSE"):
        Path("set", name).touch()
    with caplog.at_level("INFO", "convnext_edge"):
        assert names("set") == ["set/1.png"]
    assert "set: left out 4 of 5 files, of other kinds (.heic, " in caplog.text


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("nowhere.png", "there is no such file"),
        ("empty.png", "the file is empty"),
        ("notes.txt", "it is no image of a known kind"),
        ("nothing", "holds no pictures within 16 levels of folders (it is empty)"),
        ("texts", "holds no pictures within 16 levels of folders (2 files: .txt)"),
        ("broken.zip", "is not a readable archive"),
        ("x" * 300 + ".png", "File name too long"),
        ("nul\0.png", "null byte"),
    ],
)
def test_what_cannot_be_read_is_a_picture_with_a_reason(path: str, why: str) -> None:
    for name in ("empty.png", "broken.zip", "texts/1.txt", "texts/2.txt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    Path("notes.txt").write_text("no image")
    Path("nothing").mkdir()
    assert why in reason(path)
    assert names(path) == [path]


def test_the_contents_decide_and_not_the_suffix() -> None:
    os.rename(save("photo.png"), "photo")  # noqa: PTH104
    assert isinstance(load("photo"), LoadedImage)


def test_bytes_of_a_name_that_are_no_text_are_escaped() -> None:
    name = os.fsdecode(b"caf\xe9.png")
    try:
        os.rename(save("cafe.png"), name)  # noqa: PTH104
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    assert names(name) == ["caf\\udce9.png"]
    assert isinstance(load(name), LoadedImage)


def test_a_picture_is_piped_in(monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.TextIOWrapper(io.BytesIO(Path(save("one.png", 7)).read_bytes()))
    monkeypatch.setattr(sys, "stdin", content)
    found = load("-")
    assert isinstance(found, LoadedImage)
    assert found.pixels[0, 0].tolist() == [7, 100, 200]


def test_nobody_is_left_typing_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(UsageError, match="nothing is piped into it"):
        find_pictures(["-"])


# Images in memory


def test_an_image_and_its_array_are_the_same_as_its_file() -> None:
    image = Image.open(save("one.png", 9))
    wanted = load("one.png")
    assert isinstance(wanted, LoadedImage)
    for given in (image, np.asarray(image), np.asfortranarray(np.asarray(image))):
        found = load(given)
        assert isinstance(found, LoadedImage)
        assert np.array_equal(found.pixels, wanted.pixels)


@pytest.mark.parametrize("channels", [(), (1,), (2,), (4,)])
def test_an_array_may_have_other_channels(channels: tuple[int, ...]) -> None:
    found = load(np.full((5, 7, *channels), 50, np.uint8))
    assert isinstance(found, LoadedImage)
    assert (found.pixels == 50).all()
    assert found.pixels.shape == (32, 32, 3)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((5, 5, 3)),
        np.zeros((2, 5, 5, 3), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros(5, np.uint8),
    ],
    ids=["float", "several", "empty", "line"],
)
def test_an_array_that_is_no_picture_is_refused(array: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"pictures\[0\] is an array of shape"):
        find_pictures([array])


def test_an_image_that_is_damaged_is_one_that_cannot_be_read() -> None:
    path = Path(save("one.png"))
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    assert "it cannot be decoded" in reason(Image.open(path))
    assert "it cannot be decoded" in reason("one.png")


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(UsageError, match="empty name"):
        find_pictures([""])


def test_a_model_that_was_trained_so_sees_photographs_upright() -> None:
    stored = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # to be turned by 90 degrees
    stored.save("turned.png", exif=exif)
    loader = Loader(replace(SMALL, exif=True, crop=1.0))
    for given in ("turned.png", Image.open("turned.png")):
        (picture,) = find_pictures([given])
        found = loader.load(picture)
        assert isinstance(found, LoadedImage)
        np.testing.assert_array_equal(found.pixels, np.rot90(np.asarray(stored), -1))
    assert loader.turned == []


@pytest.mark.parametrize(("value", "expected"), [(None, 0), (1, 0), (6, 1)])
def test_pictures_that_are_stored_turned_are_counted(value: int | None, expected: int) -> None:
    exif = Image.Exif()
    if value is not None:
        exif[ORIENTATION] = value
    Image.new("RGB", (40, 36)).save("photo.jpg", exif=exif)
    loader = Loader(SMALL)
    for picture in find_pictures(["photo.jpg"]):
        loader.load(picture)
    assert len(loader.turned) == expected


def test_folders_pictures_and_archives_are_told_from_models() -> None:
    Path("folder").mkdir()
    assert all(names_pictures(Path(p)) for p in ("a.JPG", "a.webp", "set.zip", "set.tar.gz", "folder", "-"))
    assert not any(names_pictures(Path(p)) for p in ("model.onnx", "engine.mlpackage.zip", "photo"))


def test_an_error_that_is_not_of_one_picture_ends_it_all() -> None:
    """A model of six channels can be shown no picture at all."""
    (picture,) = find_pictures([save("one.png")])
    six = Preprocessing(resolution=32, mean=(0.5,) * 6, std=(0.5,) * 6)
    with pytest.raises(UsageError, match="the model takes 6 channels"):
        Loader(six).load(picture)


def test_more_than_any_picture_has_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from convnext_edge.images import pictures

    monkeypatch.setattr(pictures, "MAX_MEMBER_BYTES", 10)
    assert reason(save("one.png")) == "it has more than 10 bytes"
    with pytest.raises(ImageSetError):
        find_pictures(["one.png"])[0].read()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageSetError, match="it is no regular file; a picture in a pipe is named -"):
        find_pictures([tmp_path / "pipe.png"])[0].read()
    with pytest.raises(ImageSetError, match=r"pipe\.png is no regular file"):
        find_pictures([tmp_path])[0].read()
