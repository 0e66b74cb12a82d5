"""The agreement of detections, by hand: what both models find, and what nothing tells."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from support.needs import package

from convnext_edge.evaluation import detections
from convnext_edge.evaluation.coco_ap import average_precision, outline
from convnext_edge.evaluation.detections import Detections, match, overlaps
from convnext_edge.evaluation.gates import Gates, judge
from convnext_edge.images.coco import Scene
from convnext_edge.images.contents import Truth
from convnext_edge.images.objects import run_lengths, split
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.targets.base import Outputs

NAMES = ("boxes", "labels", "scores", "masks")
Row = tuple[tuple[float, float, float, float], int, float]  # box, label, score


def scene(*marked: tuple[tuple[float, float, float, float], int], number: int = 1) -> Scene:
    """Return a picture of 32 x 32 pixels with these boxes (left, top, right and bottom) and labels."""
    objects = [
        Truth(label, (*box[:2], box[2] - box[0], box[3] - box[1]), 100.0, crowd=False, mask="")
        for box, label in marked
    ]
    return Scene(number, (32, 32), tuple(objects))


def told(*scenes: Scene) -> np.ndarray:
    """Return scenes as the labels of a batch."""
    found = np.empty(len(scenes), object)
    found[:] = scenes
    return found


def outputs(*rows: Row, places: int = 4) -> Outputs:
    """Return what a detector answers to one image with these detections."""
    boxes, labels = np.zeros((1, places, 4), np.float32), np.full((1, places), -1, np.float32)
    scores, masks = np.zeros((1, places), np.float32), np.zeros((1, places, 2, 2), np.float32)
    for place, (box, label, score) in enumerate(rows):
        boxes[0, place], labels[0, place], scores[0, place], masks[0, place] = box, label, score, 0.5
    return boxes, labels, scores, masks


def compared(exact: Outputs, other: Outputs) -> Detections:
    found = Detections(NAMES, Preprocessing(32))
    found.add_outputs(exact, other, np.full(1, -1))
    return found


CAT: Row = ((0, 0, 10, 10), 3, 0.9)
MOVED: Row = ((2, 0, 12, 10), 3, 0.8)  # 80 of 120 pixels are of both
DOG: Row = ((20, 20, 30, 30), 1, 0.7)
UNSURE: Row = ((40, 40, 50, 50), 1, 0.2)


def test_overlaps_by_hand() -> None:
    boxes = np.array([CAT[0], MOVED[0], (0, 0, 0, 0)], np.float32)
    assert overlaps(boxes, boxes)[0].tolist() == pytest.approx([1, 80 / 120, 0])
    assert overlaps(boxes, boxes)[2].tolist() == [0, 0, 0]


def test_a_detection_is_matched_once_and_by_its_class() -> None:
    (exact,), (other,) = split(outputs(CAT, MOVED, DOG)), split(outputs(MOVED, (DOG[0], 2, 0.9)))
    assert [(i, j) for i, j, _ in match(exact, other)] == [(0, 0)]


def test_the_agreement_is_of_what_either_model_is_sure_of() -> None:
    found = compared(outputs(CAT, DOG, UNSURE), outputs(MOVED))
    # sure are cat and dog, and the moved cat: two of these three are found by the other, too
    assert found.figures()["agreement"] == pytest.approx(2 / 3)
    assert found.figures()["detections"] == 3
    assert found.figures()["box_iou"] == pytest.approx(80 / 120)
    signal, noise = 10**2 + 10**2, 2**2 + 2**2
    assert found.sqnr_db("boxes") == pytest.approx(10 * np.log10(signal / noise))
    assert found.concerns == ()


def test_models_with_nothing_in_common_are_far_apart() -> None:
    found = compared(outputs(CAT), outputs(DOG))
    assert (found.figures()["agreement"], found.worst_sqnr_db) == (0, 0)


def test_where_nothing_is_found_no_gate_is_met() -> None:
    found = compared(outputs(), outputs())
    assert found.figures()["agreement"] is None
    judged = judge(found, Gates(min_sqnr=20, min_agreement=0.5), "detect", 4)
    assert not judged.passed
    assert set(judged.faults.values()) == {"these images do not tell it"}
    assert any("surer than 0.5 of anything" in warning for warning in judged.warnings)


def test_parts_of_a_set_are_merged() -> None:
    whole, part = compared(outputs(CAT, DOG), outputs(CAT)), compared(outputs(CAT), outputs(CAT))
    whole.merge(part)
    assert (whole.images, whole.figures()["detections"]) == (2, 5)
    assert whole.figures()["agreement"] == pytest.approx(4 / 5)


SCENE = Scene(1, (32, 32), (Truth(label=3, box=(0, 0, 10, 10), area=100, crowd=False, mask=""),))


def scene_compared() -> Detections:
    found = Detections(NAMES, Preprocessing(32, crop=1, resize_mode="squash"))
    labels = np.empty(1, object)
    labels[0] = SCENE
    found.add_outputs(outputs(CAT), outputs(MOVED), labels)
    return found


def test_the_average_precision_is_told_and_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    package("pycocotools", "pip install 'convnext-edge[coco]'")
    found = scene_compared().figures()
    # an IoU of 2/3 is enough for 4 of the 10 from 0.50 to 0.95
    assert (found["box_ap_reference"], found["box_ap"]) == pytest.approx((1, 0.4), abs=1e-6)
    assert found["drop_points"] == pytest.approx(60, abs=1e-4)
    assert "mask_ap" not in found  # the object has no mask
    assert capfd.readouterr() == ("", "")


def test_what_nobody_drew_costs_no_average_precision_of_masks() -> None:
    """The mask of the cat is told, that of the dog is not: what is found there is neither right nor wrong."""
    package("pycocotools", "pip install 'convnext-edge[coco]'")
    cat, dog = scene((CAT[0], 3), (DOG[0], 3)).objects
    drawn = Scene(1, (32, 32), (replace(cat, mask=json.dumps([outline(cat)])), dog))
    found = [
        {"image_id": 1, "category_id": 3, "score": score, "bbox": [*each.box], "segmentation": runs(each.box)}
        for each, score in ((cat, 0.8), (dog, 0.9))
    ]
    assert average_precision([drawn], found, "segm") == pytest.approx(1)
    assert average_precision([drawn], found[:1], "bbox") == pytest.approx(0.5, abs=0.01)
    elsewhere = {**found[1], "segmentation": runs((0, 20, 10, 10))}
    assert average_precision([drawn], [found[0], elsewhere], "segm") == pytest.approx(0.5)


def runs(box: tuple[float, ...]) -> dict[str, object]:
    """Return the pixels of a box in a picture as COCO's results have them."""
    left, top, width, height = map(int, box)
    inside = np.zeros((32, 32), bool)
    inside[top : top + height, left : left + width] = True
    return run_lengths(inside)


def test_the_drop_is_of_what_lost_more_where_that_lost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"bbox": iter((0.5, 0.5)), "segm": iter((0.5, 0.6))}  # of both models: masks gain, boxes stay
    monkeypatch.setattr(detections, "is_installed", lambda: True)
    monkeypatch.setattr(detections, "average_precision", lambda scenes, results, kind: next(told[kind]))
    assert scene_compared().figures()["drop_points"] == 0


def test_without_pycocotools_the_agreement_is_told_and_that_precision_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(detections, "is_installed", lambda: False)
    found = scene_compared()
    assert (found.figures()["agreement"], found.figures().get("box_ap")) == (1, None)
    (said,) = found.concerns
    assert "needs pycocotools (pip install 'convnext-edge[coco]')" in said


def test_what_both_models_share_is_no_measure_of_what_one_lost() -> None:
    others: list[Row] = [((0, y, 5, y + 5), 2, 0.9) for y in (0, 6, 12)]
    assert compared(outputs(CAT, *others), outputs(CAT)).worst_sqnr_db == 0
    assert compared(outputs(CAT, DOG), outputs(CAT)).worst_sqnr_db is None


def with_objects(labels: dict[int, int]) -> Detections:
    """Return what is told of ten pictures with a cat and a dog, which the annotations number as `labels`."""
    found = Detections(NAMES, Preprocessing(32, 1.0))
    marked = [scene((CAT[0], labels[3]), (DOG[0], labels[1]), number=n) for n in range(10)]
    answers = tuple(np.repeat(output, len(marked), 0) for output in outputs(CAT, DOG))
    found.add_outputs(answers, answers, told(*marked))
    return found


def test_one_box_that_moves_does_not_decide_what_a_few_pictures_tell() -> None:
    exact = outputs(CAT, DOG, ((40, 40, 50, 50), 2, 0.9))
    near = tuple(value.copy() for value in exact)
    near[0][0, :, 2] += 0.01  # by a hundredth of a pixel
    near[0][0, 0] = MOVED[0]
    found = compared(exact, near)
    assert found.worst_sqnr_db is not None
    assert found.usual_sqnr_db is not None
    assert found.worst_sqnr_db < 40 < 60 < found.usual_sqnr_db
    # of two models that have little in common it tells nothing either
    assert compared(outputs(CAT, DOG), outputs(((20, 0, 30, 10), 3, 0.9))).usual_sqnr_db == 0
    assert compared(exact, exact).usual_sqnr_db is None
    two = compared(exact, near)
    two.merge(found)
    assert two.usual_sqnr_db == found.usual_sqnr_db


@pytest.mark.parametrize("labels", [{3: 2, 1: 0}, {3: 1, 1: 3}])  # one off, and exchanged
def test_labels_in_another_order_decide_no_gate(labels: dict[int, int]) -> None:
    package("pycocotools", "pip install 'convnext-edge[coco]'")
    found = with_objects(labels)
    (concern,) = found.concerns
    assert "it calls 0 as they are labelled, and 20 in another order of the classes" in concern
    assert judge(found, Gates(max_drop=50.0), "detect", 4).faults["drop"] == concern
    assert with_objects({3: 3, 1: 1}).concerns == ()


def test_objects_that_do_not_count_tell_no_average_precision() -> None:
    package("pycocotools", "pip install 'convnext-edge[coco]'")
    crowd = replace(scene((CAT[0], 3)).objects[0], crowd=True)
    found = Detections(NAMES, Preprocessing(32))
    found.add_outputs(outputs(CAT), outputs(CAT), told(Scene(1, (32, 32), (crowd,))))
    assert "box_ap" not in found.figures()
    assert "no object is marked in these images: they tell no average precision" in found.concerns
    assert not judge(found, Gates(max_drop=0.5), "detect", 4).passed
