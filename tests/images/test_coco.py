"""Sets of pictures with objects in COCO's format, and the labels that these have in a model."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.small_artifacts import DESCRIPTION

from convnext_edge.architecture import Architecture
from convnext_edge.checkpoints.class_order import Numbering
from convnext_edge.checkpoints.object_labels import as_detected
from convnext_edge.detection import Detection, Library
from convnext_edge.errors import ImageSetError
from convnext_edge.images.coco import Scene
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.preprocessing import Preprocessing


def told(**changes: Any) -> dict[str, Any]:
    """Return three pictures, of which one has two objects."""
    box = {"image_id": 7, "category_id": 3, "bbox": [1, 2, 5, 4], "area": 11.5, "iscrowd": 0}
    masked = {**box, "category_id": 1, "segmentation": [[1, 2, 6, 2, 6, 6]], "iscrowd": 1}
    return {
        "images": [{"id": 7 - n, "file_name": f"{n}.png", "width": 20, "height": 10} for n in range(3)],
        "annotations": [box, masked],
        "categories": [{"id": 3, "name": "cat"}, {"id": 1, "name": "dog"}],
        **changes,
    }


def masked(mask: object) -> dict[str, Any]:
    """Return a file with one object, which has this mask."""
    box = {"image_id": 7, "category_id": 3, "bbox": [1, 2, 5, 4]}
    return told(annotations=[{**box, "segmentation": mask}])


def boxed(box: list[float], **changes: object) -> dict[str, Any]:
    """Return a file with one object, which has this box."""
    return told(annotations=[{"image_id": 7, "category_id": 3, "bbox": box, **changes}])


def named(*names: str) -> dict[str, Any]:
    """Return a file of pictures with these names."""
    rows = [{"id": n, "file_name": name, "width": 20, "height": 10} for n, name in enumerate(names)]
    return told(images=rows, annotations=[])


def written(folder: Path, content: object, name: str = "_annotations.coco.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(4):
        Image.new("RGB", (20, 10)).save(folder / f"{number}.png")
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    "name", ["_annotations.coco.json", "instances_x.json", "../annotations/instances_val.json"]
)
def test_objects_are_read_from_a_file_beside_the_pictures(name: str, tmp_path: Path) -> None:
    images = open_image_set(written(tmp_path / "val", told(), name))
    assert [(entry.name, entry.number) for entry in images.entries] == [
        ("0.png", 7),
        ("1.png", 6),
        ("2.png", 5),
    ]
    first, second = images.entries[0].objects or ()
    assert (first.label, first.box, first.area, first.crowd, first.mask) == (3, (1, 2, 5, 4), 11.5, False, "")
    assert (second.label, second.crowd, json.loads(second.mask)) == (1, True, [[1, 2, 6, 2, 6, 6]])
    assert images.entries[1].objects == ()
    assert images.categories == ((3, "cat"), (1, "dog"))
    assert images.labelled
    assert images.boxed


@pytest.mark.parametrize("folder", ["", "val/"])
def test_objects_are_read_from_an_archive_with_the_file_beside_the_pictures(
    folder: str, tmp_path: Path
) -> None:
    made = written(tmp_path / "val", told())
    archive = tmp_path / "val.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in made.iterdir():
            file.write(path, folder + path.name)
    inside, outside = open_image_set(archive), open_image_set(made)
    assert inside.entries == outside.entries
    assert (inside.categories, inside.digest) == (outside.categories, outside.digest)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(f"{folder}annotations.json", "{}")
    with pytest.raises(ImageSetError, match="several files of annotations"):
        open_image_set(archive)


@pytest.mark.parametrize("form", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_annotations(form: str, tmp_path: Path) -> None:
    folder = written(tmp_path, told(categories=[{"id": 3, "name": "Kätzchen"}, {"id": 1, "name": "dog"}]))
    plain = open_image_set(folder)
    place = folder / "_annotations.coco.json"
    place.write_text(json.dumps(json.loads(place.read_text()), ensure_ascii=False), encoding=form)
    assert open_image_set(folder).categories == plain.categories == ((3, "Kätzchen"), (1, "dog"))
    place.write_bytes(place.read_bytes()[:-1])
    with pytest.raises(ImageSetError, match="is damaged: it is not"):
        open_image_set(folder)


def test_damaged_annotations_in_an_archive_are_refused_by_their_place(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "val.zip", "w") as file:
        file.write(written(tmp_path / "val", []) / "0.png", "0.png")
        file.writestr("annotations.json", "[]")
    with pytest.raises(ImageSetError, match=r"val.zip/annotations.json is damaged"):
        open_image_set(tmp_path / "val.zip")


def test_a_batch_tells_the_objects_of_each_picture(tmp_path: Path) -> None:
    images = open_image_set(written(tmp_path, told()))
    (batch,) = images.batches(Preprocessing(32), batch=4, dtype="uint8")
    scenes = list(batch.labels)
    assert all(isinstance(scene, Scene) for scene in scenes)
    assert [(scene.number, scene.size, len(scene.objects)) for scene in scenes] == [
        (7, (20, 10), 2),
        (6, (20, 10), 0),
        (5, (20, 10), 0),
    ]


def test_the_digest_of_a_set_depends_on_its_objects(tmp_path: Path) -> None:
    one = open_image_set(written(tmp_path / "a", told()))
    other = open_image_set(written(tmp_path / "b", told(annotations=[])))
    assert one.hashes == other.hashes
    assert one.digest != other.digest


@pytest.mark.parametrize(
    ("library", "classes", "names", "labels"),
    [
        ("torchvision", 4, (), [3, 1]),  # the numbers of the file
        ("mmdetection", 2, (), [0, 1]),  # their places in the file
        ("torchvision", 4, ("background", "cat", "bird", "dog"), [1, 3]),  # the names
    ],
)
def test_objects_have_the_labels_of_the_model(
    library: Library, classes: int, names: tuple[str, ...], labels: list[int], tmp_path: Path
) -> None:
    images = open_image_set(written(tmp_path, told()))
    heads = Architecture((1,), (8,), classes=classes, detection=Detection(library))
    model = replace(DESCRIPTION, architecture=heads, classes=names)
    numbered = as_detected(images, model)
    assert [found.label for found in numbered.entries[0].objects or ()] == labels


def test_classes_without_names_are_numbered_as_mmdetection_does(tmp_path: Path) -> None:
    """Its CocoDataset counts what pycocotools answers to getCatIds, which is in the order of the file."""
    coco = pytest.importorskip("pycocotools.coco").COCO()
    coco.dataset = told(annotations=[])
    coco.createIndex()
    labels = {number: label for label, number in enumerate(coco.getCatIds(catNms=["cat", "dog"]))}
    images = open_image_set(written(tmp_path, told()))
    expected = [labels[row["category_id"]] for row in told()["annotations"]]
    assert numbered(images, "mmdetection", 2, ()) == expected == [0, 1]


def numbered(images: ImageSet, library: Library, classes: int, names: tuple[str, ...]) -> list[int]:
    """Return the labels of the objects in the first picture."""
    heads = Architecture((1,), (8,), classes=classes, detection=Detection(library))
    found = as_detected(images, replace(DESCRIPTION, architecture=heads, classes=names))
    return [each.label for each in found.entries[0].objects or ()]


def test_a_class_without_objects_needs_no_label(tmp_path: Path) -> None:
    """As in files of Roboflow, where class 0 stands for all others."""
    above = {"id": 0, "name": "animals"}
    images = open_image_set(written(tmp_path, told(categories=[above, *told()["categories"]])))
    assert numbered(images, "torchvision", 4, ()) == [3, 1]
    assert numbered(images, "mmdetection", 2, ("dog", "cat")) == [1, 0]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("background", "cat", "bus", "car"), "class dog, which the model does not have"),
        (("background", "cat", "dog", "dog"), "class dog, which the model has several times"),
        (("dog", "cat", "bus", "car"), "class dog, which is the background"),
    ],
)
def test_names_of_other_classes_are_not_passed_over(names: tuple[str, ...], why: str, tmp_path: Path) -> None:
    images = open_image_set(written(tmp_path, told()))
    with pytest.raises(ImageSetError, match=why):
        numbered(images, "torchvision", 4, names)


def test_a_file_of_names_tells_the_labels(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    images = open_image_set(written(tmp_path / "set", told()))
    heads = Architecture((1,), (8,), classes=2, detection=Detection("mmdetection"))
    model = replace(DESCRIPTION, task="detect", architecture=heads, classes=("x", "y"))
    found = Numbering(file=tmp_path / "names.txt").apply(images, model)
    assert [each.label for each in found.entries[0].objects or ()] == [0, 1]


def test_objects_of_a_picture_of_another_size_are_not_looked_for(tmp_path: Path) -> None:
    images = open_image_set(written(tmp_path, told()))
    Image.new("RGB", (10, 20)).save(tmp_path / "0.png")
    with pytest.raises(ImageSetError, match="has 10x20 pixels, and its annotations are of 20x10, as if one"):
        list(images.batches(Preprocessing(32), batch=4, dtype="uint8"))


def test_names_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (20, 10)).save(tmp_path / folder / "0.png")
    (tmp_path / "annotations.json").write_text(json.dumps(named("x/b/0.png", "x/a/0.png")))
    images = open_image_set(tmp_path)
    assert [(entry.name, entry.number) for entry in images.entries] == [("a/0.png", 1), ("b/0.png", 0)]
    (tmp_path / "annotations.json").write_text(json.dumps(named("0.png")))
    with pytest.raises(ImageSetError, match=r"names one picture 0\.png, and 2 here are called so"):
        open_image_set(tmp_path)


def test_pictures_that_are_not_in_both_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "convnext_edge")
    open_image_set(written(tmp_path, told()))
    assert "tells of 3 pictures, and 4 are here: the 3 that are in both are taken" in caplog.text


def test_classes_that_the_model_does_not_have_are_refused(tmp_path: Path) -> None:
    images = open_image_set(written(tmp_path, told()))
    heads = Architecture((1,), (8,), classes=3, detection=Detection("mmdetection"))
    with pytest.raises(ImageSetError, match="tells 2 classes of objects, as cat, dog, and the model has 3"):
        as_detected(images, replace(DESCRIPTION, architecture=heads, classes=()))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (told(categories=[]), "categories must be a list with a length of at least 1"),
        (told(annotations=[{"image_id": 7}]), "category_id"),
        (told(annotations=[{"image_id": 7, "category_id": 9, "bbox": [1, 2, 3, 4]}]), "category 9"),
        (told(annotations=[{"image_id": 9, "category_id": 3, "bbox": [1, 2, 3, 4]}]), "picture 9"),
        (masked([[1, 2, 3, 4]]), "a polygon without three corners"),
        (masked([[0, 0, 2**20, 0, 0, 9]]), "a polygon that is 2,097,161 pixels around, more than 1,048,576"),
        (masked({"size": [10, 20], "counts": [100, 101]}), "run lengths that are none of 10 x 20 pixels"),
        (masked({"size": [10, 20], "counts": "~~"}), "run lengths that are none of 10 x 20 pixels"),
        (
            told(images=[{"id": 1, "file_name": "x.png", "width": 1, "height": 1}], annotations=[]),
            "names none of the pictures, such as 0.png, but others, such as x.png",
        ),
        ([], "an object"),
        (told(images=2 * told()["images"]), "images has the id 7 2 times"),
        (told(categories=2 * told()["categories"]), "categories has the id 3 2 times"),
        (named("0.png", "0.png"), "the file_name '0.png' 2 times"),
        (named("a/0.png", "b/0.png"), "several pictures 0.png, such as a/0.png, b/0.png"),
        (boxed([9, 9, -5, -4]), "a box of negative width or height"),
        (boxed([1, 2, 3, 4], area=1e11), "more than any picture"),
        (masked({"size": [10.0, 20.0], "counts": [100, 100]}), "run lengths that are none of 10 x 20"),
    ],
)
def test_damaged_annotations_are_refused(content: object, why: str, tmp_path: Path) -> None:
    with pytest.raises(ImageSetError, match=why):
        open_image_set(written(tmp_path, content))


def test_two_files_of_annotations_are_ambiguous(tmp_path: Path) -> None:
    written(tmp_path, told(), "instances_a.json")
    with pytest.raises(ImageSetError, match="several files of annotations"):
        open_image_set(written(tmp_path, told(), "instances_b.json"))
