"""Objects in the picture: boxes of the input brought back, masks pasted, run lengths of COCO."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convnext_edge.images.objects import cut_off, have_area, in_picture, of_text, paste, run_lengths, split
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.images.transform import preprocess


def marked(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    """Return a black picture with a white box."""
    image = Image.new("RGB", size)
    image.paste((255, 255, 255), box)
    return image


@pytest.mark.parametrize("mode", ["corner", "pad", "squash", "center"])
@pytest.mark.parametrize("size", [(200, 100), (90, 160)])
def test_boxes_of_the_input_are_brought_back(mode: str, size: tuple[int, int]) -> None:
    box = (30, 60, 70, 80)  # which no crop cuts
    prepared = Preprocessing(64, 1.0, "bilinear", width=96, resize_mode=mode)  # type: ignore[arg-type]
    seen = preprocess(marked(size, box), prepared)[:, :, 0] > 127
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    of_input = np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], np.float32)
    # a pixel of the input may be three of the picture
    np.testing.assert_allclose(in_picture(of_input, size, prepared)[0], box, atol=2)


def test_an_image_in_the_corner_is_filled_up_to_the_right_and_below() -> None:
    prepared = Preprocessing(64, 1.0, "bilinear", width=96, resize_mode="corner", pad_color=(9, 8, 7))
    pixels = preprocess(Image.new("RGB", (50, 100), (255, 0, 0)), prepared)
    assert pixels.shape == (64, 96, 3)
    assert (pixels[:, :32] == (255, 0, 0)).all()
    assert (pixels[:, 32:] == (9, 8, 7)).all()


def test_a_mask_lies_over_its_box_and_is_cut_off_at_the_edges() -> None:
    mask = np.ones((28, 28), np.float32)
    inside = paste(mask, np.array([10.0, 20.0, 38.0, 34.0]), (60, 50)) > 0.5
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    edges = [int(edge) for edge in (columns[0], columns[-1] + 1, rows[0], rows[-1] + 1)]
    assert edges == pytest.approx([10, 38, 20, 34], abs=1)  # torchvision counts the last pixel in
    cut = paste(mask, np.array([-30.0, -30.0, 10.0, 10.0]), (60, 50)) > 0.5
    assert cut[:9, :9].all()
    assert not cut[12:].any()


def test_a_mask_stays_in_its_place_where_its_box_reaches_into_the_padding() -> None:
    """By hand: the left half of the box is of the object, and only a fourth of the box is in the picture."""
    prepared = Preprocessing(64, 1.0, "bilinear", width=96, resize_mode="corner")
    size = (32, 64)  # fills the third of the input that is on the left, as large as it is
    mask = np.zeros((28, 28), np.float32)
    mask[:, :14] = 1
    (box,) = in_picture(np.array([[24, 16, 56, 48]], np.float32), size, prepared)
    assert box.tolist() == [24, 16, 56, 48]
    assert cut_off(box[None], size).tolist() == [[24, 16, 32, 48]]
    inside = paste(mask, box, size) > 0.5
    assert inside[17:47, 25:].all(), "the edge of the object is at 40, beyond the picture"
    assert not inside[:, :23].any()


def test_a_box_beyond_the_picture_covers_nothing() -> None:
    boxes = np.array([[40.0, 0, 50, 10], [-50, -50, -40, -40], [0, 90, 10, 99], [31, 0, 40, 9]])
    assert have_area(cut_off(boxes, (32, 64))).tolist() == [False, False, False, True]
    for box in boxes[:3]:
        assert not paste(np.ones((28, 28), np.float32), box, (32, 64)).any()
    # of a box of a million pixels an edge, only what is in the picture is drawn
    assert paste(np.ones((28, 28), np.float32), np.array([-5e5, -5e5, 5e5, 5e5]), (32, 64)).all()


def test_pasted_masks_are_those_of_torchvision() -> None:
    told = np.load(Path(__file__).parents[1] / "fixtures" / "detection" / "torchvision_maskrcnn.npz")
    height, width = told["masks"].shape[2:]
    # a box that lies within the picture, and one at its edge
    boxes = told["boxes"]
    assert boxes.min() == 0 or boxes.max() == width
    for box, whole in zip(boxes, told["masks"][:, 0], strict=True):
        full = paste(np.ones((28, 28), np.float32), box.astype(np.float64), (width, height))
        assert (whole[full == 0] == 0).all()


@pytest.mark.parametrize(
    ("mask", "counts"),
    [
        # as pycocotools' `encode` writes them
        ([[0, 1], [0, 1]], "22"),
        ([[1, 1], [1, 1]], "04"),
        ([[0, 0, 0]], "3"),
    ],
)
def test_run_lengths_are_those_of_coco(mask: list[list[int]], counts: str) -> None:
    assert run_lengths(np.array(mask, bool)) == {"size": list(np.shape(mask)), "counts": counts}


def test_places_without_a_detection_are_left_out() -> None:
    boxes, masks = np.ones((1, 3, 4), np.float32), np.ones((1, 3, 28, 28), np.float32)
    labels, scores = np.array([[2.0, -1.0, 0.0]], np.float32), np.array([[0.9, 0.0, 0.2]], np.float32)
    (found,) = split([boxes, labels, scores, masks])
    assert found.labels.tolist() == [2, 0]
    assert found.scores.tolist() == pytest.approx([0.9, 0.2])


def test_run_lengths_are_read_back() -> None:
    random = np.random.default_rng(0)
    for share in (0.01, 0.5, 0.99):
        inside = random.random((300, 500)) < share
        counts = of_text(run_lengths(inside)["counts"])
        again = np.repeat(np.arange(len(counts)) % 2, counts).reshape(500, 300).T
        assert (again == inside).all()
