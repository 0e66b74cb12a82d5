"""Image sets once they are open: subset, digest, overlap, batches, broken images."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convnext_edge.errors import ImageSetError
from convnext_edge.images.image_set import ImageSet, overlap
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import preprocess

SMALL = Preprocessing(resolution=16, crop=0.875)


def save_photo(path: Path, seed: int, size: tuple[int, int] = (24, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)


def class_folders(root: Path, **counts: int) -> ImageSet:
    seed = 0
    for folder, count in counts.items():
        for index in range(count):
            save_photo(root / folder / f"{index:03d}.png", seed, size=(20 + index % 7, 20))
            seed += 1
    return open_image_set(str(root))


@pytest.fixture
def animals(tmp_path: Path) -> ImageSet:
    return class_folders(tmp_path / "animals", cat=20, dog=10, owl=5)


def test_subset_is_the_same_for_the_same_seed_only(animals: ImageSet) -> None:
    assert animals.subset(10, seed=1).entries == animals.subset(10, seed=1).entries
    assert animals.subset(10, seed=1).entries != animals.subset(10, seed=2).entries


def test_subset_does_not_depend_on_where_the_images_are(animals: ImageSet, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "elsewhere"), "zip", tmp_path / "animals")
    assert open_image_set(archive).subset(10, seed=1).entries == animals.subset(10, seed=1).entries


@pytest.mark.parametrize("seed", range(5))
def test_subset_gives_each_class_its_share(animals: ImageSet, seed: int) -> None:
    labels = [entry.label for entry in animals.subset(7, seed).entries]
    assert [labels.count(label) for label in range(3)] == [4, 2, 1]


@pytest.mark.parametrize("seed", range(5))
def test_subset_takes_different_classes_where_they_outnumber_it(tmp_path: Path, seed: int) -> None:
    many = class_folders(tmp_path, **{f"class{index}": 3 for index in range(12)})
    labels = [entry.label for entry in many.subset(8, seed).entries]
    assert len(set(labels)) == 8


def test_every_image_has_a_chance_to_be_in_a_subset(animals: ImageSet) -> None:
    drawn = {entry for seed in range(60) for entry in animals.subset(7, seed).entries}
    assert drawn == set(animals.entries)


def test_subset_keeps_the_order_and_the_classes(animals: ImageSet) -> None:
    part = animals.subset(12, seed=0)
    assert list(part.entries) == sorted(part.entries, key=lambda entry: entry.name)
    assert part.classes == animals.classes
    assert part.name == animals.name


def test_subset_without_count_is_the_whole_set(animals: ImageSet) -> None:
    assert animals.subset(None, seed=3) is animals
    assert animals.subset(len(animals), seed=3).entries == animals.entries


@pytest.mark.parametrize("count", [36, 0, -1])
def test_subset_out_of_range_names_both_numbers(animals: ImageSet, count: int) -> None:
    with pytest.raises(ImageSetError) as caught:
        animals.subset(count, seed=0)
    assert f"{count} images" in caught.value.message
    assert "35" in caught.value.message
    assert "1 to 35" in caught.value.hint


def test_digest_is_of_names_labels_and_contents(tmp_path: Path) -> None:
    original = class_folders(tmp_path / "a", cat=3, dog=3).digest
    assert len(original) == 64
    assert class_folders(tmp_path / "same", cat=3, dog=3).digest == original

    other_pixel = tmp_path / "pixel"
    class_folders(other_pixel, cat=3, dog=3)
    with Image.open(other_pixel / "cat" / "001.png") as image:
        changed = image.copy()
    changed.putpixel((0, 0), (1, 2, 3))
    changed.save(other_pixel / "cat" / "001.png")
    assert open_image_set(str(other_pixel)).digest != original

    other_name = tmp_path / "name"
    class_folders(other_name, cat=3, dog=3)
    (other_name / "cat" / "001.png").rename(other_name / "cat" / "009.png")
    assert open_image_set(str(other_name)).digest != original


def test_digest_changes_with_a_label(tmp_path: Path) -> None:
    for index in range(3):
        save_photo(tmp_path / f"{index}.png", index)
    digests = set()
    for labels in ("0 1 1", "0 1 2"):
        lines = [f"{index}.png {label}\n" for index, label in enumerate(labels.split())]
        (tmp_path / "labels.txt").write_text("".join(lines))
        digests.add(open_image_set(str(tmp_path)).digest)
    assert len(digests) == 2


def test_digest_of_a_subset_covers_the_subset_only(animals: ImageSet, tmp_path: Path) -> None:
    part = animals.subset(5, seed=0)
    before = part.digest
    assert before != animals.digest
    outside = next(entry for entry in animals.entries if entry not in part.entries)
    save_photo(tmp_path / "animals" / outside.name, seed=999)
    reopened = open_image_set(str(tmp_path / "animals"))
    assert reopened.subset(5, seed=0).digest == before
    assert reopened.digest != animals.digest


def test_overlap_counts_equal_contents_whatever_their_names(animals: ImageSet, tmp_path: Path) -> None:
    for index, entry in enumerate(animals.entries[:4]):
        target = tmp_path / "others" / f"copy{index}.png"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(tmp_path / "animals" / entry.name, target)
    save_photo(tmp_path / "others" / "new.png", seed=1000)
    others = open_image_set(str(tmp_path / "others"))
    assert overlap(animals, others) == overlap(others, animals) == 4
    assert overlap(animals, animals.subset(9, seed=0)) == 9


def test_batches_hold_all_images_in_order(animals: ImageSet, tmp_path: Path) -> None:
    batches = list(animals.batches(SMALL, batch=8, dtype="uint8"))
    assert [len(batch) for batch in batches] == [8, 8, 8, 8, 3]
    assert [name for batch in batches for name in batch.names] == [entry.name for entry in animals.entries]
    assert np.concatenate([batch.labels for batch in batches]).tolist() == [0] * 20 + [1] * 10 + [2] * 5
    first = batches[0]
    assert first.images.shape == (8, 3, 16, 16)
    assert first.images.dtype == np.uint8
    assert first.images.flags.c_contiguous
    assert first.labels.dtype == np.int64
    with Image.open(tmp_path / "animals" / first.names[0]) as image:
        assert np.array_equal(first.images[0].transpose(1, 2, 0), preprocess(image, SMALL))


def test_float_batches_are_the_normalized_bytes(animals: ImageSet) -> None:
    whole = next(animals.batches(SMALL, batch=35, dtype="uint8")).images
    normalized = next(animals.batches(SMALL, batch=35, dtype="float32")).images
    assert normalized.dtype == np.float32
    mean, std = (np.array(v).reshape(3, 1, 1) for v in (SMALL.mean, SMALL.std))
    np.testing.assert_allclose(normalized, (whole / 255 - mean) / std, rtol=1e-5, atol=1e-6)


def test_batches_do_not_depend_on_the_number_of_workers(animals: ImageSet) -> None:
    runs = [list(animals.batches(SMALL, batch=4, dtype="uint8", workers=n)) for n in (1, 3, 8)]
    for run in runs[1:]:
        for one, other in zip(runs[0], run, strict=True):
            assert one.names == other.names
            assert np.array_equal(one.images, other.images)


def test_batches_can_be_left_early_and_begun_again(animals: ImageSet) -> None:
    first = next(animals.batches(SMALL, batch=2, dtype="uint8"))
    again = next(animals.batches(SMALL, batch=2, dtype="uint8"))
    assert first.names == again.names


def test_no_more_images_are_read_than_the_next_batch_needs(animals: ImageSet, tmp_path: Path) -> None:
    batches = animals.batches(SMALL, batch=2, dtype="uint8", workers=1)
    next(batches)
    shutil.rmtree(tmp_path / "animals" / "owl")
    with pytest.raises(ImageSetError, match=r"owl/000\.png"):
        list(batches)


def test_unlabelled_images_have_the_label_minus_one(tmp_path: Path) -> None:
    save_photo(tmp_path / "a.png", 0)
    images = open_image_set(str(tmp_path))
    assert not images.labelled
    assert next(images.batches(SMALL, batch=4, dtype="uint8")).labels.tolist() == [-1]


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"batch": 0}, "batch is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"dtype": "int8"}, "'int8'"),
    ],
)
def test_batches_refuse_wrong_options_at_once(
    animals: ImageSet, options: dict[str, object], value: str
) -> None:
    arguments: dict[str, object] = {"batch": 2, "dtype": "uint8", **options}
    with pytest.raises(ImageSetError, match=value):
        animals.batches(SMALL, **arguments)  # type: ignore[arg-type]


def test_one_broken_image_in_a_hundred_is_left_out_and_named(tmp_path: Path) -> None:
    class_folders(tmp_path, cat=60, dog=60)
    (tmp_path / "dog" / "007.png").write_bytes(b"")
    images = open_image_set(str(tmp_path))
    for _ in range(2):  # going through the set again reports nothing twice
        names = [name for batch in images.batches(SMALL, batch=50, dtype="uint8") for name in batch.names]
        assert len(names) == 119
        assert "dog/007.png" not in names
        assert [(image.name, image.reason) for image in images.skipped] == [
            ("dog/007.png", "the file is empty")
        ]


def test_more_than_one_percent_broken_is_an_error(tmp_path: Path) -> None:
    class_folders(tmp_path, cat=60, dog=60)
    (tmp_path / "cat" / "001.png").write_bytes(b"not an image")
    (tmp_path / "dog" / "007.png").write_bytes((tmp_path / "dog" / "008.png").read_bytes()[:300])
    images = open_image_set(str(tmp_path))
    with pytest.raises(ImageSetError) as caught:
        list(images.batches(SMALL, batch=50, dtype="uint8"))
    assert "2 of 120 images are broken so far (1.7 %" in caught.value.message
    assert "cat/001.png" in caught.value.message
    assert "dog/007.png" in caught.value.message
    assert "remove them" in caught.value.hint


def test_one_broken_image_of_a_small_set_is_an_error(tmp_path: Path) -> None:
    class_folders(tmp_path, cat=25, dog=25)
    (tmp_path / "cat" / "001.png").write_bytes(b"\0" * 100)
    with pytest.raises(ImageSetError, match=r"1 of 50 images are broken so far \(2\.0 %"):
        list(open_image_set(str(tmp_path)).batches(SMALL, batch=50, dtype="uint8"))


@pytest.fixture
def flawed(tmp_path: Path) -> ImageSet:
    """Of 200 images, two are broken: as many as may be."""
    class_folders(tmp_path, cat=100, dog=100)
    for name in ("cat/001.png", "cat/002.png"):
        (tmp_path / name).write_bytes(b"")
    return open_image_set(str(tmp_path))


def drawn(images: ImageSet, broken: int, sound: int) -> ImageSet:
    """A part of the flawed set, with so many broken and sound images."""
    return images.part(images.entries[1 : 1 + broken] + images.entries[3 : 3 + sound])


def test_a_broken_image_of_a_part_counts_as_one_of_the_whole_set(flawed: ImageSet) -> None:
    part, rest = drawn(flawed, 1, 15), flawed.part(flawed.entries[100:])
    (batch,) = part.batches(SMALL, batch=16, dtype="uint8")
    assert len(batch) == 15
    assert [image.name for image in part.skipped] == ["cat/001.png"]
    assert [image.name for image in flawed.subset(199, seed=0).skipped] == ["cat/001.png"], "one log for all"
    assert rest.skipped == ()


@pytest.mark.parametrize(
    ("broken", "sound", "said"), [(2, 14, "2 of 16 images are broken"), (1, 0, "every image is broken")]
)
def test_a_part_of_which_too_little_is_left_is_an_error(
    flawed: ImageSet, broken: int, sound: int, said: str
) -> None:
    with pytest.raises(ImageSetError, match=said):
        list(drawn(flawed, broken, sound).batches(SMALL, batch=16, dtype="uint8"))


def test_digest_of_an_image_that_cannot_be_read_names_it(animals: ImageSet, tmp_path: Path) -> None:
    (tmp_path / "animals" / "owl" / "003.png").unlink()
    with pytest.raises(ImageSetError, match=r"owl/003\.png cannot be read: No such file"):
        _ = animals.digest
