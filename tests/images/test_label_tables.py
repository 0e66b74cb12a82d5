"""Labels in tables (CSV): one name, several, or a column of 0 and 1 for each class; and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from support.image_sets import refusal, save_photo

from convnext_edge.architecture import Architecture
from convnext_edge.artifacts.artifact import Artifact, Description
from convnext_edge.checkpoints.class_order import Numbering
from convnext_edge.errors import ImageSetError
from convnext_edge.evaluation.closeness import Decisions
from convnext_edge.evaluation.trust import check_classes
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.tasks import Task

NAMES = ("a.jpg", "b.jpg", "c.jpg")
FLAGS = "Image Index,Edema,Mass,Cyst\na.jpg,0,1,1\nb.jpg,0,0,0\nc.jpg,1.0,0,0\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, alone in a folder."""
    for seed, name in enumerate(NAMES):
        save_photo(tmp_path / "set" / "photos" / name, seed)
    return tmp_path / "set" / "photos"


def opened(folder: Path, text: str, name: str = "labels.csv") -> ImageSet:
    (folder / name).write_text(text)
    return open_image_set(folder)


def names(images: ImageSet) -> list[set[str]]:
    return [
        {images.classes[label] for label in ((entry.label,) if entry.labels is None else entry.labels)}
        for entry in images.entries
    ]


# Read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FLAGS, [{"Mass", "Cyst"}, set(), {"Edema"}]),
        (FLAGS.replace(",", "\t"), [{"Mass", "Cyst"}, set(), {"Edema"}]),
        (FLAGS.replace(",", ";"), [{"Mass", "Cyst"}, set(), {"Edema"}]),
        (
            "path,x,y\nval/a.jpg,True,False\nval/b.jpg,False,False\nc.jpg,True,True\n",
            [{"x"}, set(), {"x", "y"}],
        ),
        ("image_name,tags\na,haze primary\nb,water\nc,\n", [{"haze", "primary"}, {"water"}, set()]),
        ("id,shown\na,big dog|cat\nb,cat\nc,cat | cat\n", [{"big dog", "cat"}, {"cat"}, {"cat"}]),
        ("id,shown\na,dog;cat\nb,\nc,cat\n", [{"dog", "cat"}, set(), {"cat"}]),
        ('id,labels\na,"dog, cat"\nb,\nc,cat\n', [{"dog", "cat"}, set(), {"cat"}]),
        ('x,file,labels\n1,a.jpg,"u|v"\n2,b.jpg,u\n3,c.jpg,v\n4,other.jpg,w\n', [{"u", "v"}, {"u"}, {"v"}]),
    ],
    ids=["flags", "tabs", "semicolons", "paths", "spaces", "bars", "parted", "commas", "other columns"],
)
def test_an_image_may_have_several_labels_or_none(folder: Path, text: str, expected: list[set[str]]) -> None:
    images = opened(folder, text)
    assert names(images) == expected
    assert images.several
    assert images.labelled
    assert {entry.label for entry in images.entries} == {-1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("filename,label\na.jpg,cat\nb.jpg,big dog\nc.jpg,cat\n", ["cat", "big dog", "cat"]),
        ("id,breed\nc,pug\na,boxer\nb,pug\n", ["boxer", "pug", "pug"]),
        ("image,MEL,NV\na.jpg,1,0\nb.jpg,0,1\nc.jpg,1,0\n", ["MEL", "NV", "MEL"]),
        ('file,label\na,"dog, big"\nb,cat\nc,cat\n', ["dog, big", "cat", "cat"]),
        ("file,label\ra.jpg,cat\rb.jpg,dog\rc.jpg,cat\r", ["cat", "dog", "cat"]),
        ("label,width,file\ncat,8,a.jpg\ndog,8,b.jpg\ncat,9,c.jpg\n", ["cat", "dog", "cat"]),
    ],
    ids=["label", "any title", "flags", "a comma", "carriage returns", "other columns"],
)
def test_a_set_with_one_label_an_image_is_like_class_folders(
    folder: Path, text: str, expected: list[str]
) -> None:
    images = opened(folder, text)
    assert not images.several
    assert [images.classes[entry.label] for entry in images.entries] == expected


@pytest.mark.parametrize(
    ("name", "mark"), [("labels.csv", ","), ("labels.tsv", "\t"), ("labels.txt", " "), ("labels.txt", ",")]
)
def test_two_columns_need_no_header(folder: Path, name: str, mark: str) -> None:
    images = opened(folder, f"a.jpg{mark}cat\nb.jpg{mark}dog\nc.jpg{mark}cat\n", name)
    assert [images.classes[entry.label] for entry in images.entries] == ["cat", "dog", "cat"]


def test_two_columns_of_texts_are_captions(folder: Path) -> None:
    assert not opened(folder, "a.jpg,a cat\nb.jpg,two dogs\nc.jpg,another cat\n").labelled


def test_numbers_are_labels_themselves(folder: Path) -> None:
    images = opened(folder, 'file,labels\na.jpg,"0|12"\nb.jpg,3\nc.jpg,\n')
    assert [entry.labels for entry in images.entries] == [(0, 12), (3,), ()]
    assert (images.classes, images.class_count) == ((), 13)
    quoted = opened(folder, 'file,label\n"a.jpg","2"\n"b.jpg","0"\n"c.jpg","1"\n')
    assert [entry.label for entry in quoted.entries] == [2, 0, 1]
    floats = opened(folder, "file,label\na.jpg,10.0\nb.jpg,2.0\nc.jpg,0.0\n")  # as pandas writes them
    assert ([entry.label for entry in floats.entries], floats.classes) == ([10, 2, 0], ())


def test_columns_number_the_classes_as_they_stand_and_names_as_text(folder: Path) -> None:
    assert opened(folder, FLAGS).classes == ("Edema", "Mass", "Cyst")
    listed = opened(folder, "id,labels\na,c10 c9\nb,c9\nc,c1\n")
    assert listed.classes == ("c1", "c10", "c9")
    assert (opened(folder, FLAGS).numbered_by, listed.numbered_by) == ("columns", "text")


def described(task: Task, *classes: str) -> Artifact:
    model = Architecture((1,), (8,), classes=3)
    return Artifact(
        Path("model.onnx"),
        Description("onnx", "m", None, model, Preprocessing(), task=task, classes=classes),
        {},
    )


def test_the_names_of_the_model_number_the_columns_too(folder: Path) -> None:
    """A model that has the same classes in another order must not be held against the wrong ones."""
    images = opened(folder, FLAGS)
    own = Numbering().apply(images, described("multilabel", "Cyst", "Edema", "Mass").description)
    assert names(own) == names(images)
    assert own.entries[0].labels == (0, 2)
    assert Numbering().apply(images, described("multilabel").description) == images


def test_columns_of_some_classes_only_are_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "convnext_edge")
    two = "\n".join(line.rpartition(",")[0] for line in FLAGS.splitlines())
    Numbering().apply(opened(folder, two), described("multilabel", "Mass", "Edema", "Cyst").description)
    assert "has columns of 2 classes, the model has 3: no image counts as one of the other 1" in caplog.text
    caplog.clear()
    Numbering().apply(opened(folder, FLAGS), described("multilabel").description)
    assert caplog.text == ""


def test_a_table_is_found_beside_the_folder_by_its_name_or_its_paths(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    beside = folder.parent / "labels.csv"
    beside.write_text(FLAGS)
    assert open_image_set(folder.parent).classes == ("Edema", "Mass", "Cyst"), "the set holds both"
    assert not open_image_set(folder).labelled
    assert "names these images, but is not in photos; move it there, or call it photos.csv" in caplog.text
    beside.write_text("\n".join(line if "Index" in line else f"photos/{line}" for line in FLAGS.splitlines()))
    assert open_image_set(folder).several
    beside.rename(folder.parent / "photos.csv")
    assert open_image_set(folder).several


def test_a_table_in_an_archive_is_read(folder: Path, tmp_path: Path) -> None:
    (folder / "labels.csv").write_text(FLAGS)
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", folder.parent)
    assert names(open_image_set(archive)) == names(open_image_set(folder))


# Measured


def test_decisions_are_held_against_all_labels_of_an_image(folder: Path) -> None:
    """By hand: two of three labels are found, one wrong one too, and one class is ranked second."""
    images = opened(folder, FLAGS)
    (batch,) = images.batches(Preprocessing(8), batch=3, dtype="uint8")
    np.testing.assert_array_equal(batch.labels, [[0, 1, 1], [0, 0, 0], [1, 0, 0]])
    answers = np.array([[-1, 2, -3], [-2, -1, 1], [4, -2, -4]], np.float32)
    found = Decisions(("logits",))
    found.add_outputs((answers,), (answers,), batch.labels)
    figures = found.figures()
    assert figures["f1_reference"] == pytest.approx(2 * 2 / (3 + 3))
    assert figures["map_reference"] == pytest.approx((1 + 1 + 1 / 2) / 3)


def test_several_labels_are_refused_where_the_model_gives_one(folder: Path) -> None:
    images = opened(folder, FLAGS)
    check_classes(images, described("multilabel"))
    check_classes(images, described("embed"))
    with pytest.raises(ImageSetError, match=r"may have several labels, or none; model\.onnx gives one"):
        check_classes(images, described("classify"))
    with pytest.raises(ImageSetError, match=r"has 4 classes, model\.onnx has 3"):
        check_classes(
            opened(
                folder, FLAGS.replace("Cyst", "Cyst,Nodule").replace("0\n", "0,0\n").replace("1\n", "1,0\n")
            ),
            described("multilabel"),
        )


# Refused


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FLAGS.replace("a.jpg,0", "a.jpg,-1"), "has -1 or nothing, neither 0 nor 1, in columns 'Edema'"),
        (FLAGS.replace("a.jpg,0", "a.jpg,"), "has -1 or nothing, neither 0 nor 1, in columns 'Edema'"),
        ("file,Age,x,y\na.jpg,31,0,1\nb.jpg,30,0,1\nc.jpg,3,1,1\n", "and others that are none: 'Age'"),
        ("file,x,x\na.jpg,0,1\nb.jpg,0,1\nc.jpg,1,1\n", "has two columns of one title"),
        ("file,label,class\na.jpg,0,1\nb.jpg,0,1\nc.jpg,1,1\n", "may be labels: 'label', 'class'"),
        ("file,shown\na.jpg,big dog\nb.jpg,cat\nc.jpg,cat\n", "has spaces or commas in column 'shown'"),
        ('file,shown\na.jpg,"dog,cat"\nb.jpg,cat\nc.jpg,cat\n', "has spaces or commas in column 'shown'"),
        ("file,shown\na.jpg,dog;cat\nb.jpg,dog|cat\nc.jpg,cat\n", r"has both | and ; between names"),
        ("file,label\na.jpg,dog\nb.jpg,\nc.jpg,cat\n", "has no label for b.jpg"),
        ("file,labels\na.jpg,1\nb.jpg,2\nc.jpg,cat\n", "mixes numbers and names: 1 and cat"),
        ("file,labels\na.jpg,\nb.jpg,\nc.jpg,\n", "gives no image a label"),
        ("file,label\na.jpg,dog\nb.jpg,cat\n", "has no label for 1 of 3 images, such as c.jpg"),
        ("file,label\na.jpg,dog\na.jpg,cat\nb.jpg,cat\nc.jpg,cat\n", "has two lines for a.jpg"),
        ("file,label\na.jpg,dog,cat\nb.jpg,cat\nc.jpg,cat\n", "has 3 cells in line 2, and 2 titles"),
        ("file,label\na.jpg,dog\nb.jpg,caf\u00e9\nc.jpg,cat\n", "cannot be read as text"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(folder: Path, text: str, said: str) -> None:
    (folder / "labels.csv").write_text(text, encoding="latin-1")
    error = refusal(folder)
    assert said in error.message
    assert error.message.startswith(f"{folder}/labels.csv")


def test_a_table_whose_names_have_other_capitals_is_said_to_give_no_labels(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    assert not opened(folder, "file,label\nA.JPG,cat\nB.JPG,dog\nC.JPG,cat\n").labelled
    assert "labels.csv: it names images, but with capitals or suffixes that the files do not" in caplog.text


def test_two_tables_must_say_the_same(folder: Path) -> None:
    (folder / "again.csv").write_text(FLAGS)
    assert opened(folder, FLAGS).several
    (folder / "again.csv").write_text("id,labels\na,x\nb,y\nc,z\n")
    assert "several label files, which contradict each other" in refusal(folder).message
    (folder / "again.csv").unlink()
    (folder / "map.txt").write_text("a.jpg 1\nb.jpg 0\nc.jpg 2\n")
    assert "and in other lines of `name label`" in refusal(folder).message


@pytest.mark.parametrize(
    "text",
    [
        "name,width,height\na.jpg,8,8\nb.jpg,8,8\nc.jpg,8,9\n",
        "a.jpg,0,1\nb.jpg,1,0\n",
        "file,age\na.jpg,0.5\nb.jpg,7.25\nc.jpg,7.25\n",
        "file,age\na.jpg,0.5\nb.jpg,7\nc.jpg,7\n",
        "file,part\na.jpg,train\nb.jpg,test\nc.jpg,train\n",
        "file,url\na.jpg,http://a\nb.jpg,http://b\nc.jpg,http://c\n",
    ],
    ids=["sizes", "no titles", "values", "some whole", "splits", "all different"],
)
def test_a_table_of_other_things_gives_no_labels(
    folder: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convnext_edge")
    assert not opened(folder, text).labelled
    assert (
        "labels.csv: it names images, but not in lines of `name label`, nor in a table with a" in caplog.text
    )
