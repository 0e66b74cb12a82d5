"""The average precision of detections by COCO's rules: the mean over IoUs from 0.5 to 0.95, and classes.

pycocotools computes it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from importlib import util
from typing import Any, Literal

from convnext_edge.errors import TargetError
from convnext_edge.images.coco import Scene
from convnext_edge.images.contents import Truth
from convnext_edge.quiet import is_verbose, quiet

Kind = Literal["bbox", "segm"]
PACKAGE = "pycocotools"
INSTALL = "pip install 'convnext-edge[coco]'"
Result = dict[str, Any]


def is_installed() -> bool:
    """Tell whether pycocotools is installed."""
    return util.find_spec(PACKAGE) is not None


def check_package() -> None:
    """Raise TargetError where pycocotools is not installed."""
    if not is_installed():
        raise TargetError(
            f"the average precision of boxes and masks needs {PACKAGE}, which is not installed",
            hint=f"{INSTALL}, or leave --max-drop out.",
        )


def average_precision(scenes: Sequence[Scene], results: Sequence[Result], kind: Kind) -> float | None:
    """Return the AP of the boxes or masks that a model found; None where the scenes have none that counts.

    Those that stand for many (`iscrowd`) do not count. results: as COCO has them, with `image_id` the number
    of a scene.
    """
    check_package()
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    told = dataset(scenes, kind)
    if all(row["iscrowd"] for row in told["annotations"]):
        return None
    if not results:
        return 0.0
    # it prints what it does; standard output is for results
    with quiet(), redirect_stdout(sys.stderr) if is_verbose() else nullcontext():
        truth = COCO()
        truth.dataset = told
        truth.createIndex()
        judged = COCOeval(truth, truth.loadRes([dict(row) for row in results]), kind)
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return float(judged.stats[0])


def dataset(scenes: Sequence[Scene], kind: Kind) -> dict[str, Any]:
    """Return scenes as a file of COCO has them.

    Masks that nobody drew do not count: neither the object, nor what is found in its box.
    """
    rows = [(scene, found) for scene in scenes for found in scene.objects]
    labels = sorted({found.label for _, found in rows})
    return {
        "info": {},
        "images": [{"id": s.number, "width": s.size[0], "height": s.size[1]} for s in scenes],
        "categories": [{"id": label, "name": str(label)} for label in labels],
        "annotations": [
            {
                "id": number,
                "image_id": scene.number,
                "category_id": found.label,
                "bbox": list(found.box),
                "area": found.area,
                "iscrowd": int(found.crowd or (kind == "segm" and not found.mask)),
                "segmentation": json.loads(found.mask) if found.mask else [outline(found)],
            }
            for number, (scene, found) in enumerate(rows, 1)
        ],
    }


def outline(found: Truth) -> list[float]:
    """Return the box of an object as a polygon."""
    left, top, width, height = found.box
    right, bottom = left + width, top + height
    return [left, top, right, top, right, bottom, left, bottom]
