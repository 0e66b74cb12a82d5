"""Finding image sets: names, data roots, and the layouts of folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.image_sets import refusal, save_class_folders, save_photo
from support.places import ROOT

from convnext_edge.errors import ImageSetError
from convnext_edge.images import definitions
from convnext_edge.images.definitions import calibration_dir
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.opening import open_image_set

IMAGENET_SAMPLE = ROOT.parent / "shared" / "data" / "imagenet-val-1300"


def labels_by_name(images: ImageSet) -> dict[str, int]:
    return {entry.name: entry.label for entry in images.entries}


@pytest.fixture(autouse=True)
def no_data_root_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONVNEXT_EDGE_DATA", raising=False)


# Names


def test_the_definitions_are_valid_and_described() -> None:
    named = definitions.definitions()
    assert set(named) == {"demo", "demo_detect", "demo_segment", "imagenet_val"}
    assert all(definition.description and definition.obtain for definition in named.values())
    assert set(named["demo"].splits) == {"calibration", "evaluation"}


def test_a_name_that_is_neither_known_nor_a_path_lists_the_names() -> None:
    error = refusal("imagenet_va")
    assert "imagenet_va is neither a named image set nor an existing path" in error.message
    assert "demo, demo_detect, demo_segment, imagenet_val" in error.hint
    assert ".tar" in error.hint


def test_a_named_set_without_data_root_says_how_to_give_one() -> None:
    error = refusal("imagenet_val")
    assert "no data root is given" in error.message
    assert "--data-root" in error.hint
    assert "CONVNEXT_EDGE_DATA" in error.hint


def test_a_named_set_that_is_not_found_says_where_it_was_looked_for(tmp_path: Path) -> None:
    error = refusal("imagenet_val", data_root=tmp_path)
    assert str(tmp_path / "imagenet_val") in error.message
    assert "ILSVRC2012_val_*.JPEG" in error.message
    assert "--data-root" in error.hint


def test_a_data_root_that_does_not_exist_is_named(tmp_path: Path) -> None:
    assert (
        f"{tmp_path / 'nowhere'} is no folder"
        in refusal("imagenet_val", data_root=tmp_path / "nowhere").message
    )


def test_other_data_in_the_data_root_is_not_taken_for_the_named_set(tmp_path: Path) -> None:
    save_class_folders(tmp_path, "cats", "dogs")
    assert "is not found" in refusal("imagenet_val", data_root=tmp_path).message


@pytest.mark.parametrize("place", ["", "imagenet_val", "ILSVRC2012_img_val"])
def test_a_named_set_is_found_in_the_data_root_and_its_folder(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_class_folders(tmp_path / place, "n01440764", "n01443537")
    images = open_image_set("imagenet_val", data_root=tmp_path)
    assert images.name == "imagenet_val"
    assert images.classes == ("n01440764", "n01443537")
    monkeypatch.setenv("CONVNEXT_EDGE_DATA", str(tmp_path))
    assert open_image_set("imagenet_val").entries == images.entries


def test_a_named_set_is_found_as_an_archive(tmp_path: Path) -> None:
    save_class_folders(tmp_path / "source", "n01440764", "n01443537")
    shutil.make_archive(str(tmp_path / "root" / "imagenet_val"), "zip", tmp_path / "source")
    assert len(open_image_set("imagenet_val", data_root=tmp_path / "root")) == 4


def test_a_set_that_comes_with_the_package_has_two_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(calibration_dir() / "demo.toml", tmp_path)
    monkeypatch.setattr(definitions, "calibration_dir", lambda: tmp_path)
    assert str(tmp_path / "demo" / "evaluation.zip") in refusal("demo").message
    for split, count in (("calibration", 1), ("evaluation", 2)):
        save_class_folders(tmp_path / split, "cat", "dog", count=count)
        shutil.make_archive(str(tmp_path / "demo" / split), "zip", tmp_path / split)
    assert len(open_image_set("demo", split="calibration")) == 2
    assert len(open_image_set("demo")) == 4


def test_a_definition_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('description = "x"\nobtain = "y"\nfolder = "z"\n')
    with pytest.raises(ImageSetError, match="unknown key, or lacks a needed one: folder"):
        definitions.read_definition(path)
    path.write_text("description = \n")
    with pytest.raises(ImageSetError, match="is not TOML"):
        definitions.read_definition(path)


# Folders


def test_a_folder_of_images_has_no_labels(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.JPEG", "c.png"):
        save_photo(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("a.JPEG is the best one\n\nof all\n")
    images = open_image_set(str(tmp_path / "photos"))
    assert images.name == "photos"
    assert [entry.name for entry in images.entries] == ["a.JPEG", "b.jpg", "c.png"]
    assert not images.labelled
    assert images.classes == ()


def test_class_folders_are_numbered_in_the_order_of_their_names(tmp_path: Path) -> None:
    save_class_folders(tmp_path, "owl", "cat")
    images = open_image_set(str(tmp_path))
    assert images.labelled
    assert images.classes == ("cat", "owl")
    assert labels_by_name(images) == {"cat/0.jpg": 0, "cat/1.jpg": 0, "owl/0.jpg": 1, "owl/1.jpg": 1}


def test_a_list_of_synsets_beside_class_folders_numbers_them(tmp_path: Path) -> None:
    save_class_folders(tmp_path, "n01443537", "n01484850")
    (tmp_path / "synset_words.txt").write_text(
        "n01440764 tench\nn01443537 goldfish\nn01484850 shark, white\n"
    )
    images = open_image_set(str(tmp_path))
    assert images.classes == ("n01440764", "n01443537", "n01484850")
    assert {entry.label for entry in images.entries} == {1, 2}


def test_wrapping_folders_do_not_count(tmp_path: Path) -> None:
    save_class_folders(tmp_path / "plain", "cat", "owl")
    save_class_folders(tmp_path / "wrapped" / "ILSVRC" / "val", "cat", "owl")
    plain, wrapped = (open_image_set(str(tmp_path / name)) for name in ("plain", "wrapped"))
    assert wrapped.entries == plain.entries
    assert wrapped.digest == plain.digest


def test_hidden_files_and_those_of_the_operating_system_are_ignored(tmp_path: Path) -> None:
    save_class_folders(tmp_path, "cat", "owl")
    for name in (".cache/x.jpg", "__MACOSX/cat/._0.jpg", "cat/._0.jpg", "cat/.thumbnails/0.jpg"):
        save_photo(tmp_path / name)
    (tmp_path / "cat" / "Thumbs.db").write_bytes(b"")
    assert len(open_image_set(str(tmp_path))) == 4


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("empty")
    error = refusal(tmp_path)
    assert f"{tmp_path} holds no images" in error.message
    assert ".jpeg" in error.hint


def test_images_beside_class_folders_are_ambiguous(tmp_path: Path) -> None:
    save_class_folders(tmp_path, "cat", "owl")
    save_photo(tmp_path / "stray.jpg")
    error = refusal(tmp_path)
    assert "stray.jpg" in error.message
    assert "ambiguous" in error.hint


def test_the_outermost_folders_are_the_classes_as_torchvision_takes_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    save_class_folders(tmp_path / "cat", "indoor", "outdoor", count=1)
    save_photo(tmp_path / "cat" / "0.jpg")
    save_photo(tmp_path / "owl" / "2024" / "may" / "night" / "0.jpg")
    images = open_image_set(str(tmp_path))
    assert images.classes == ("cat", "owl")
    assert labels_by_name(images) == {
        "cat/0.jpg": 0,
        "cat/indoor/0.jpg": 0,
        "cat/outdoor/0.jpg": 0,
        "owl/2024/may/night/0.jpg": 1,
    }
    assert "its classes are the 2 outermost ones" in caplog.text
    assert "timm takes the 4 innermost" in caplog.text  # cat, indoor, outdoor, night


def test_a_class_folder_without_images_is_told_as_it_changes_the_numbers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    save_class_folders(tmp_path, "cat", "owl", count=1)
    (tmp_path / "dog").mkdir()
    (tmp_path / ".git").mkdir()
    assert open_image_set(str(tmp_path)).classes == ("cat", "owl")
    assert "folders without images, which are no classes: dog; the 2 others" in caplog.text


@pytest.mark.parametrize(
    "parts", [("train", "val"), ("train_images", "test_images"), ("Training", "Validation")]
)
@pytest.mark.parametrize("inside", ["", "cat"])
def test_the_parts_of_a_set_are_not_taken_for_classes(
    parts: tuple[str, ...], inside: str, tmp_path: Path
) -> None:
    for part in parts:
        save_photo(tmp_path / part / inside / "0.jpg")
    error = refusal(tmp_path)
    assert "which are parts of a set and not classes" in error.message
    assert "Give one of them" in error.hint


def test_a_link_to_the_folder_that_it_lies_in_is_not_followed(tmp_path: Path) -> None:
    save_class_folders(tmp_path, "cat", "owl")
    (tmp_path / "cat" / "again").symlink_to(tmp_path)
    assert len(open_image_set(str(tmp_path))) == 4


def test_folders_that_are_too_deep_are_an_error(tmp_path: Path) -> None:
    save_class_folders(tmp_path, "cat")
    save_photo(tmp_path.joinpath("owl", *"abcdefghijklmnopq") / "0.jpg")
    assert "folders more than 16 deep" in refusal(tmp_path).message


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    save_photo(tmp_path / "one.jpg")
    error = refusal(tmp_path / "one.jpg")
    assert "one.jpg is neither a folder nor an archive" in error.message
    assert ".parquet" in error.hint


# The real thing


@pytest.mark.skipif(not IMAGENET_SAMPLE.is_dir(), reason=f"no ImageNet sample at {IMAGENET_SAMPLE}")
def test_a_sample_of_imagenet_is_labelled_by_itself() -> None:
    images = open_image_set("imagenet_val", data_root=IMAGENET_SAMPLE)
    assert len(images) == 1300
    assert images.labelled
    assert len(images.classes) == 1000
    assert images.classes == tuple(sorted(images.classes))
    labels = {entry.label for entry in images.entries}
    assert min(labels) >= 0
    assert max(labels) <= 999
    assert len({entry.label for entry in images.subset(256, seed=0).entries}) > 240


def test_the_name_of_a_set_may_be_a_path_where_there_is_no_such_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_image_set(Path("demo")).name == "demo"
    (tmp_path / "demo").mkdir()
    with pytest.raises(ImageSetError, match="holds no images"):
        open_image_set(Path("demo"))
