"""How close a candidate's detections are to the reference's: boxes that both find, and how far these are off.

A detection of one model is found by the other where that has one of the same label which lies over it with an
IoU of one half; each is found once, the surest first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from convnext_edge.evaluation.closeness import Closeness, Figures
from convnext_edge.evaluation.coco_ap import (
    INSTALL,
    PACKAGE,
    Kind,
    Result,
    average_precision,
    is_installed,
)
from convnext_edge.evaluation.label_order import other_order
from convnext_edge.evaluation.metrics import decibels
from convnext_edge.evaluation.powers import powers_of
from convnext_edge.images.batches import Labels
from convnext_edge.images.coco import Scene
from convnext_edge.images.objects import (
    Boxes,
    Found,
    covered,
    cut_off,
    have_area,
    in_picture,
    run_lengths,
    split,
)
from convnext_edge.images.preprocessing import Preprocessing
from convnext_edge.network.boxes import overlaps as iou
from convnext_edge.targets.base import Outputs

SAME = 0.5  # IoU of two boxes of one object
FEWEST = 10  # objects that tell whether the labels are in another order
SURE = 0.5  # score of the detections that the agreement is of: less sure ones come and go with rounding


class Detections(Closeness):
    """The detections that both models share, and the SQNR of boxes, scores and masks of these."""

    def __init__(self, outputs: Sequence[str], preprocessing: Preprocessing) -> None:
        super().__init__([name for name in outputs if name != "labels"])
        self.preprocessing = preprocessing
        self.found = 0  # detections of either model
        self.sure = self.shared = 0  # those that it is sure of, and of these those that the other has, too
        self.overlaps: list[float] = []  # IoU of each pair
        # power of the error of each pair, over that of the reference's
        self.noises: dict[str, list[float]] = {name: [] for name in self.outputs}
        self.scenes: list[Scene] = []
        self.results: tuple[list[Result], list[Result]] = ([], [])  # of both models, in pictures with objects
        # of objects that the reference surely finds, how often each label got each answer
        self.named: Counter[tuple[int, int]] = Counter()

    def add_outputs(self, reference: Outputs, candidate: Outputs, labels: Labels) -> None:
        self.images += len(labels)
        found_by_both = split(reference), split(candidate)
        for exact, other in zip(*found_by_both, strict=True):
            self.add(exact, other)
        if labels.dtype == object:
            self.labelled += len(labels)
            self.scenes += labels.tolist()
            for scene, found in zip(labels, found_by_both[0], strict=True):
                self.named += Counter(names_of(found, scene, self.preprocessing))
            for found_by_one, results in zip(found_by_both, self.results, strict=True):
                for scene, found in zip(labels, found_by_one, strict=True):
                    results += as_results(found, scene, self.preprocessing)

    def add(self, exact: Found, other: Found) -> None:
        """Add what both models find in an image."""
        pairs = match(exact, other)
        self.found += len(exact.boxes) + len(other.boxes)
        for found, partner in ((exact, [i for i, _, _ in pairs]), (other, [j for _, j, _ in pairs])):
            sure = np.flatnonzero(found.scores > SURE)
            self.sure += len(sure)
            self.shared += int(np.isin(sure, partner).sum())
        self.overlaps += [overlap for _, _, overlap in pairs]
        for name in self.outputs:
            one, two = (getattr(found, name) for found in (exact, other))
            for i, j, _ in pairs:
                powers = powers_of(one[i].ravel(), two[j].ravel())
                self.signal[name] += powers.exact
                self.noise[name] += powers.noise
                self.cosines[name].append(powers.cosine)
                if powers.exact:
                    self.noises[name].append(powers.noise / powers.exact)

    def merge(self, other: Self) -> None:
        super().merge(other)
        for name in self.outputs:
            self.noises[name] += other.noises[name]
        self.found += other.found
        self.sure, self.shared = self.sure + other.sure, self.shared + other.shared
        self.overlaps += other.overlaps
        self.scenes += other.scenes
        self.named += other.named
        for own, its in zip(self.results, other.results, strict=True):
            own += its

    @property
    def worst_sqnr_db(self) -> float | None:
        """The SQNR of the output that is farthest off; 0 where the models have little in common.

        That is nothing at all, or less than half of what either is sure of: the rest alone tells nothing.
        """
        return 0.0 if self._apart else super().worst_sqnr_db

    @property
    def usual_sqnr_db(self) -> float | None:
        """The SQNR of the median detection, of the output that is farthest off.

        Of few pictures, one box that moves by a part of a pixel, with its mask, tells the mean.
        """
        if self._apart:
            return 0.0
        found = [decibels(1.0, float(np.median(noises))) for noises in self.noises.values() if noises]
        return min((value for value in found if value is not None), default=None)

    @property
    def _apart(self) -> bool:
        """Whether the models have little in common."""
        return (not self.overlaps and self.found > 0) or 2 * self.shared < self.sure

    @property
    def silent(self) -> bool:
        """Whether neither model found anything."""
        return not self.found

    @property
    def other_numbers(self) -> tuple[str, ...]:
        """Why a drop of the AP says nothing: the reference finds the objects, and calls them otherwise."""
        total = self.named.total()
        if total < FEWEST:
            return ()
        other = other_order(self.named)
        if other is None:
            return ()
        right = sum(count for (label, answer), count in self.named.items() if label == answer)
        return (
            f"of {total} objects that the reference surely finds, it calls {right} as they"
            f" are labelled, and {other.right} in another order of the classes, where label {other.label} is"
            f" {other.answer}: --classes tells the names",
        )

    @property
    def concerns(self) -> tuple[str, ...]:
        """Why nothing is told of these images, or of their labels."""
        found = list(self.other_numbers)
        if not self.sure:
            found.append(
                f"neither model is surer than {SURE:g} of anything in these images: they tell no agreement"
            )
        if self.scenes and not any(not each.crowd for scene in self.scenes for each in scene.objects):
            found.append("no object is marked in these images: they tell no average precision")
        if self.scenes and not is_installed():
            found.append(f"no average precision is told: it needs {PACKAGE} ({INSTALL})")
        return tuple(found)

    def figures(self) -> Figures:
        """Return the agreement, the mean IoU of shared boxes, the SQNR of each output, and the AP."""
        found: Figures = {
            "agreement": self.shared / self.sure if self.sure else None,
            "box_iou": float(np.mean(self.overlaps)) if self.overlaps else None,
            "detections": float(self.sure),
        }
        found |= {f"{name}_sqnr_db": self.sqnr_db(name) for name in self.outputs}
        return found | self._precisions()

    def _precisions(self) -> Figures:
        """Return the AP of both models, and how much of the one that lost more was lost."""
        found: Figures = {}
        lost = []  # points, of boxes and of masks
        kinds: tuple[tuple[str, Kind], ...] = (("box", "bbox"), ("mask", "segm"))
        for name, kind in kinds if self.scenes and is_installed() else ():
            exact, other = (average_precision(self.scenes, results, kind) for results in self.results)
            if exact is not None and other is not None:
                found[f"{name}_ap_reference"], found[f"{name}_ap"] = exact, other
                lost.append(100 * (exact - other))
        if lost:
            found["drop_points"] = max(lost)
        return found


def as_results(found: Found, scene: Scene, preprocessing: Preprocessing) -> list[Result]:
    """Return detections as COCO's results have them, in the pixels of the picture; none in its padding."""
    whole = in_picture(found.boxes, scene.size, preprocessing)
    boxes = cut_off(whole, scene.size)
    rows = zip(whole, boxes, found.labels, found.scores, found.masks, have_area(boxes), strict=True)
    return [
        {
            "image_id": scene.number,
            "category_id": int(label),
            "score": float(score),
            "bbox": [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()],
            "segmentation": run_lengths(covered(mask, all_of_it, scene.size)),
        }
        for all_of_it, box, label, score, mask, seen in rows
        if seen
    ]


def names_of(found: Found, scene: Scene, preprocessing: Preprocessing) -> list[tuple[int, int]]:
    """Return label and answer of each object of a picture that lies under a box that is surely one."""
    sure = found.scores > SURE
    objects = [each for each in scene.objects if not each.crowd]
    if not objects or not sure.any():
        return []
    boxes = cut_off(in_picture(found.boxes[sure], scene.size, preprocessing), scene.size)
    corners = np.array([each.box for each in objects], np.float64)
    corners[:, 2:] += corners[:, :2]
    overlap = overlaps(boxes, corners)
    nearest = overlap.argmax(1)
    return [
        (objects[its].label, int(label))
        for its, label, best in zip(nearest, found.labels[sure], overlap.max(1), strict=True)
        if best >= SAME
    ]


def match(exact: Found, other: Found) -> list[tuple[int, int, float]]:
    """Return the pairs of detections of one object, as their places and the IoU of their boxes."""
    overlap = overlaps(exact.boxes, other.boxes) * (exact.labels[:, None] == other.labels[None])
    pairs = []
    for i in range(len(exact.boxes)):
        if overlap.shape[1] and (best := float(overlap[i].max())) >= SAME:
            j = int(overlap[i].argmax())
            pairs.append((i, j, best))
            overlap[:, j] = 0
    return pairs


def overlaps(one: Boxes, other: Boxes) -> NDArray[np.float64]:
    """Return the IoU of each of (A, 4) boxes with each of (B, 4), as (A, B); 0 of boxes without an area."""
    first, second = (torch.from_numpy(each.astype(np.float64)) for each in (one, other))
    found: NDArray[np.float64] = np.nan_to_num(iou(first, second).numpy())
    return found
