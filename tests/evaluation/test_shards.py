"""A validation in shares: what is put together is what one process would have, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convnext_edge.errors import ImageSetError
from convnext_edge.evaluation.comparison import Inputs, answers_of_both, sum_up
from convnext_edge.evaluation.metrics import Comparison
from convnext_edge.evaluation.shards import Shard, Share, answer_share, join_answers, shares_of
from convnext_edge.images.image_set import ImageSet
from convnext_edge.images.opening import open_image_set
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.targets.base import Images, Outputs

IMAGES, BATCH, CLASSES = 210, 4, 5
# The 111th and the 112th of all: without them, those that follow are elsewhere in their batches.
BROKEN = ("c1/011.png", "c1/013.png")
PREPARED = Preprocessing(resolution=8, crop=1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shards")
    generator = np.random.default_rng(0)
    for number in range(IMAGES):
        path = place / f"c{number % 2}" / f"{number:03}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return place


@pytest.fixture
def images(folder: Path) -> ImageSet:
    return open_image_set(folder)


@pytest.fixture
def broken_folder(folder: Path) -> Iterator[Path]:
    whole = {folder / name: (folder / name).read_bytes() for name in BROKEN}
    for path in whole:
        path.write_bytes(b"no picture")
    yield folder
    for path, content in whole.items():
        path.write_bytes(content)


def reference(images: Images) -> Outputs:
    """As models do in their last digits, it answers an image by its place in the batch, too."""
    weights = np.random.default_rng(1).standard_normal((images[0].size, CLASSES))
    place = 1e-3 * np.arange(len(images))[:, None]
    return ((images.reshape(len(images), -1) @ weights * (1 + place)).astype(np.float32),)


def candidate(images: Images) -> Outputs:
    """Differs from the reference, enough to change some answers."""
    return tuple(np.round(output / 4) * 4 for output in reference(images))


def in_one(images: ImageSet) -> Comparison:
    inputs = Inputs(images, PREPARED, raw_bytes=False, batch=BATCH)
    return sum_up(answers_of_both(reference, candidate, inputs, purpose="test"), Comparison())


def answered(images: ImageSet, shares: list[Share]) -> tuple[list[Shard], list[Shard]]:
    def shards(model: object) -> list[Shard]:
        parts = [share.of(images, BATCH) for share in shares]
        return [answer_share(model, part, PREPARED, batch=BATCH, dtype="float32") for part in parts]  # type: ignore[arg-type]

    return shards(reference), shards(candidate)


def in_shares(images: ImageSet, shares: list[Share]) -> Comparison:
    return sum_up(join_answers(*answered(images, shares), images, batch=BATCH), Comparison())


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64])
def test_shares_together_are_what_one_process_finds(images: ImageSet, count: int) -> None:
    whole = in_one(images)
    assert 0 < whole.agreed < IMAGES == whole.images
    assert in_shares(images, [Share(number, count) for number in range(count)]) == whole


def test_shares_are_whole_batches_and_have_each_image_once(images: ImageSet) -> None:
    parts = [Share(number, 5).of(images, BATCH) for number in range(5)]
    # 210 images are 53 batches of 4, the last of 2; cut at batches 0, 10, 21, 31 and 42
    assert [len(part) for part in parts] == [40, 44, 40, 44, 42]
    assert [entry for part in parts for entry in part.entries] == list(images.entries)


def test_a_broken_image_moves_the_others_as_in_one_process(broken_folder: Path) -> None:
    whole = in_one(open_image_set(broken_folder))
    assert whole.images == IMAGES - len(BROKEN)
    first, _ = answered(open_image_set(broken_folder), [Share(number, 3) for number in range(3)])
    broken = tuple(image for shard in first for image in shard.skipped)
    assert tuple(image.name for image in broken) == BROKEN
    images = open_image_set(broken_folder)
    exact, answers = answered(images, [Share(number, 3, broken) for number in range(3)])
    told = [Shard(shard.outputs, shard.names, broken) for shard in exact]
    assert sum_up(join_answers(told, answers, images, batch=BATCH), Comparison()) == whole
    assert tuple(image.name for image in images.skipped) == BROKEN


def test_broken_images_count_as_those_of_all_shares(broken_folder: Path) -> None:
    part = Share(27, 53).of(open_image_set(broken_folder), BATCH)
    assert {entry.name for entry in part.entries} >= set(BROKEN)
    # of 210 images, 2 may be broken; of a set of 4 that was drawn, only 1
    found = answer_share(reference, part, PREPARED, batch=BATCH, dtype="float32")
    assert len(found.names) == BATCH - len(BROKEN)
    drawn = open_image_set(broken_folder).part(part.entries)
    with pytest.raises(ImageSetError, match="2 of 4 images are broken"):
        answer_share(reference, drawn, PREPARED, batch=BATCH, dtype="float32")


def test_shares_of_other_images_are_not_put_together(images: ImageSet) -> None:
    exact, answers = answered(images, [Share(0, 2), Share(1, 2)])
    with pytest.raises(ValueError, match="do not fit together"):
        list(join_answers(exact, answers[::-1], images, batch=BATCH))


def test_few_images_are_one_share() -> None:
    assert [shares_of(images) for images in (1, 1023, 2047, 2048, 50_000, 10**6)] == [1, 1, 1, 2, 48, 64]
